import { createHash, type Hash } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises'
import { CliError, exitCodes } from '../exit-codes.ts'

/** What shall come, as the server says it. */
export interface Wanted {
  sizeBytes: number
  /** In lower-case hexadecimal. */
  sha256: string
}

export interface DownloadOptions {
  wanted: Wanted
  /** The address; asked for anew before each try, because it is good for some minutes only. */
  address: () => Promise<string>
  /** Where it goes, once it is known to be right. */
  file: string
  onProgress: (doneBytes: number) => void
  /** Told when a try broke off and another follows. */
  onRetry: (reason: string) => void
  signal: AbortSignal
  fetch?: typeof fetch
  /** Before the second try, doubled for each further one; default 1 s. */
  firstWaitMs?: number
}

const maxTries = 6
const longestWaitMs = 15_000
const readStepBytes = 1024 * 1024

/**
 * Downloads into `<file>.<first of its sha256>.part`, from where an earlier try broke off (Range, RFC 9110 §14.2), and
 * gives it its name only after its SHA-256 was found right. Answers `present` where the file was there already. Throws
 * `CliError` for another file of that name, and for bytes that are wrong, which are thrown away.
 */
export async function downloadVerified(options: DownloadOptions): Promise<'downloaded' | 'present'> {
  const { wanted, file } = options
  const there = await digestOfFile(file)
  if (there === wanted.sha256) return 'present'
  if (there !== undefined) {
    throw new CliError(exitCodes.conflict, `${file} is there already, and is another file.`, 'Name another with --out.')
  }
  const partFile = `${file}.${wanted.sha256.slice(0, 12)}.part`
  {
    await using part = await openPart(partFile, wanted)
    options.onProgress(part.sizeBytes)
    await fill(part, options)
    if (part.hash.digest('hex') !== wanted.sha256) {
      await rm(partFile, { force: true })
      throw new CliError(
        exitCodes.failed,
        `What arrived has another sha256 than the image: it was thrown away.`,
        'Download it again; if it stays, the image is damaged, and another build mends that.',
      )
    }
    await part.handle.sync()
  }
  await rename(partFile, file)
  return 'downloaded'
}

interface Part extends AsyncDisposable {
  handle: FileHandle
  sizeBytes: number
  hash: Hash
}

/** The image holds a join token, so the file is for its owner alone. */
async function openPart(file: string, { sizeBytes: wantedBytes }: Wanted): Promise<Part> {
  const handle = await openOrSay(file)
  const { size } = await handle.stat()
  const sizeBytes = size > wantedBytes ? 0 : size
  await handle.truncate(sizeBytes)
  const hash = createHash('sha256')
  await readThrough(handle, sizeBytes, hash)
  return { handle, sizeBytes, hash, [Symbol.asyncDispose]: () => handle.close() }
}

async function openOrSay(file: string): Promise<FileHandle> {
  try {
    return await open(file, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600)
  } catch (error) {
    throw new CliError(
      exitCodes.usage,
      `${file} cannot be written: ${(error as Error).message}`,
      'Check its directory and that you may write there.',
    )
  }
}

async function fill(part: Part, options: DownloadOptions): Promise<void> {
  const { wanted, onRetry, signal, firstWaitMs = 1000 } = options
  let tries = 0
  while (part.sizeBytes < wanted.sizeBytes) {
    const before = part.sizeBytes
    try {
      await fetchRest(part, options)
    } catch (error) {
      if (signal.aborted || error instanceof CliError || isOfDisk(error)) throw sayDisk(error, options.file)
      tries = part.sizeBytes > before ? 1 : tries + 1
      if (tries >= maxTries) {
        const action = 'Run it again when the network is back: it goes on where it was.'
        throw new CliError(exitCodes.unreachable, `The download broke off: ${reasonOf(error)}.`, action)
      }
      onRetry(reasonOf(error))
      await wait(Math.min(longestWaitMs, firstWaitMs * 2 ** (tries - 1)), signal)
    }
  }
}

async function fetchRest(part: Part, options: DownloadOptions): Promise<void> {
  const { wanted, signal, fetch: fetchWith = fetch } = options
  const response = await fetchWith(await options.address(), {
    headers: { range: `bytes=${part.sizeBytes}-`, 'accept-encoding': 'identity' },
    signal,
  })
  if (response.status === 200) await restart(part)
  else if (response.status !== 206 || rangeStart(response) !== part.sizeBytes) throw await refusalOf(response)
  if (response.body === null) throw new Error('the answer is empty')
  for await (const chunk of response.body) {
    if (part.sizeBytes + chunk.length > wanted.sizeBytes) {
      throw new CliError(exitCodes.failed, 'More arrived than the image has bytes.', 'Try again.')
    }
    await part.handle.write(chunk, 0, chunk.length, part.sizeBytes)
    part.hash.update(chunk)
    part.sizeBytes += chunk.length
    options.onProgress(part.sizeBytes)
  }
  if (part.sizeBytes < wanted.sizeBytes) throw new Error('the connection ended early')
}

/** A server that knows no ranges sends it all. */
async function restart(part: Part): Promise<void> {
  await part.handle.truncate(0)
  part.sizeBytes = 0
  part.hash = createHash('sha256')
}

function rangeStart(response: Response): number | undefined {
  const start = /^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1]
  return start === undefined ? undefined : Number(start)
}

/** What passes (5xx, 429) is a plain error and tried again. */
async function refusalOf(response: Response): Promise<Error> {
  const { status } = response
  await response.body?.cancel()
  if (status >= 500 || status === 429) return new Error(`the server answered with status ${status}`)
  const message = `The image cannot be downloaded: the server answered with status ${status}.`
  const isGone = status === 404 || status === 410
  return new CliError(
    isGone ? exitCodes.notFound : exitCodes.failed,
    message,
    '`freehold builds get` shows whether the image is kept still.',
  )
}

/** Undefined where there is no such file. */
async function digestOfFile(file: string): Promise<string | undefined> {
  try {
    if (!(await stat(file)).isFile()) return 'no file'
    await using handle = await open(file, 'r')
    const hash = createHash('sha256')
    await readThrough(handle, (await handle.stat()).size, hash)
    return hash.digest('hex')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new CliError(
      exitCodes.usage,
      `${file} cannot be read: ${(error as Error).message}`,
      'Name another with --out.',
    )
  }
}

async function readThrough(handle: FileHandle, sizeBytes: number, hash: Hash): Promise<void> {
  const buffer = Buffer.alloc(Math.min(readStepBytes, Math.max(1, sizeBytes)))
  for (let at = 0; at < sizeBytes; ) {
    const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, sizeBytes - at), at)
    if (bytesRead === 0) throw new CliError(exitCodes.failed, 'A file became shorter while it was read.', 'Try again.')
    hash.update(buffer.subarray(0, bytesRead))
    at += bytesRead
  }
}

function isOfDisk(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT', 'EIO', 'EFBIG', 'EROFS'].includes((error as NodeJS.ErrnoException).code ?? '')
}

function sayDisk(error: unknown, file: string): unknown {
  if (!isOfDisk(error)) return error
  const message = `${file} cannot be written: ${(error as Error).message}`
  return new CliError(exitCodes.failed, message, 'Make room, and run it again: it goes on where it was.')
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error && error.cause.message !== '' ? error.cause.message : error.message
}

function wait(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      clearTimeout(timer)
      reject(signal.reason)
    }
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', onAbort)
      resolve()
    }, ms)
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
  })
}

import type { IncomingMessage } from 'node:http'
import { FreeholdError } from '@freehold/contracts/lean'
import { createHash } from '../../builtin.ts'
import { NoAnswerError, requestOf } from '../../http.ts'
import { createDisk } from './disk.ts'

const fs = process.getBuiltinModule('node:fs')
const disk = createDisk()

/** A blob of a registry: what it must hash to, and how large it must be. */
export interface BlobReference {
  digest: string
  sizeBytes: number
}

/**
 * Opens a GET whose answer is streamed. No byte for `idleLimitMs` ends it. The body is to be read, or destroyed.
 * Throws NoAnswerError, which names host and path alone.
 */
export function openAnswer(options: {
  url: URL
  headers: Record<string, string>
  idleLimitMs: number
  signal: AbortSignal
}): Promise<IncomingMessage> {
  const { url, headers, idleLimitMs, signal } = options
  const place = `${url.host}${url.pathname}`
  return new Promise((resolve, reject) => {
    const outgoing = requestOf(url)(url, {
      method: 'GET',
      agent: false,
      signal,
      headers: { connection: 'close', ...headers },
    })
    const fail = (reason: string, cause?: unknown) =>
      reject(new NoAnswerError(`${place} gave no answer: ${reason}.`, { cause }))
    outgoing.setTimeout(idleLimitMs, () => outgoing.destroy(new Error(`nothing came for ${idleLimitMs} ms`)))
    outgoing.once('error', (error: NodeJS.ErrnoException) => fail(error.code ?? error.message, error))
    outgoing.once('response', resolve)
    outgoing.end()
  })
}

/**
 * Brings a blob to `path`, which exists only once its bytes are the right ones. What came before a break stays as
 * `path.part` and is gone on from by Range (RFC 9110 §14.2). Throws NoAnswerError where it broke off again, and
 * `conflict` where the bytes are others than their name says.
 */
export async function fetchBlob(options: {
  blob: BlobReference
  path: string
  /** Opens the answer from a byte on. */
  open: (fromByte: number) => Promise<IncomingMessage>
  onBytes: (haveBytes: number) => void
  signal: AbortSignal
}): Promise<void> {
  const { blob, path, open, onBytes, signal } = options
  if ((await sizeOf(path)) === blob.sizeBytes) return onBytes(blob.sizeBytes)
  const part = `${path}.part`
  if (((await sizeOf(part)) ?? 0) > blob.sizeBytes) await disk.remove(part)
  let haveBytes = (await sizeOf(part)) ?? 0
  if (haveBytes < blob.sizeBytes || blob.sizeBytes === 0) {
    const incoming = await open(haveBytes)
    const isRest = incoming.statusCode === 206 && startOf(incoming) === haveBytes
    if (!isRest && incoming.statusCode !== 200) {
      incoming.destroy()
      // What is there may be what the other side does not know how to go on from.
      if (haveBytes > 0) await disk.remove(part)
      throw new NoAnswerError(`The registry answered a blob with ${incoming.statusCode}.`)
    }
    if (!isRest) haveBytes = 0
    haveBytes = await append({ incoming, part, haveBytes, blob, onBytes })
  }
  signal.throwIfAborted()
  if (haveBytes < blob.sizeBytes) {
    throw new NoAnswerError(`A blob broke off after ${haveBytes} of ${blob.sizeBytes} bytes; it is gone on with later.`)
  }
  if (!(await isIntact(part, blob.digest))) {
    await disk.remove(part)
    throw new FreeholdError('conflict', `The registry gave other bytes than ${blob.digest}; they were thrown away.`)
  }
  await fs.promises.rename(part, path)
  await disk.syncDirectory(process.getBuiltinModule('node:path').dirname(path))
}

/** True where the file's bytes hash to the digest (`sha256:…`). */
export async function isIntact(path: string, digest: string): Promise<boolean> {
  const hash = createHash('sha256')
  for await (const chunk of fs.createReadStream(path, { highWaterMark: 256 * 1024 })) hash.update(chunk as Buffer)
  return `sha256:${hash.digest('hex')}` === digest
}

async function append(options: {
  incoming: IncomingMessage
  part: string
  haveBytes: number
  blob: BlobReference
  onBytes: (haveBytes: number) => void
}): Promise<number> {
  const { incoming, part, blob, onBytes } = options
  let { haveBytes } = options
  const handle = await fs.promises.open(part, haveBytes === 0 ? 'w' : 'a', 0o600)
  try {
    for await (const chunk of incoming as AsyncIterable<Buffer>) {
      if (haveBytes + chunk.length > blob.sizeBytes) {
        await handle.truncate(0)
        throw new FreeholdError(
          'conflict',
          `The registry gave more than the ${blob.sizeBytes} bytes of ${blob.digest}.`,
        )
      }
      await handle.writeFile(chunk)
      haveBytes += chunk.length
      onBytes(haveBytes)
    }
  } catch (error) {
    if (error instanceof FreeholdError) throw error
    const { code, message } = error as NodeJS.ErrnoException
    // A full disk is no missing answer.
    if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'EROFS' || code === 'EIO') throw error
    throw new NoAnswerError(`A blob broke off after ${haveBytes} of ${blob.sizeBytes} bytes: ${code ?? message}.`, {
      cause: error,
    })
  } finally {
    incoming.destroy()
    await handle.sync()
    await handle.close()
  }
  return haveBytes
}

function startOf(incoming: IncomingMessage): number | null {
  const first = /^bytes (\d{1,15})-/.exec(incoming.headers['content-range'] ?? '')?.[1]
  return first === undefined ? null : Number(first)
}

async function sizeOf(path: string): Promise<number | null> {
  try {
    return (await fs.promises.stat(path)).size
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

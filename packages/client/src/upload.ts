import {
  errorTable,
  partialUploadType,
  reprDigestHeader,
  reprDigestOf,
  uploadCompleteHeader,
  uploadOffsetHeader,
} from '@freehold/contracts'
import { ApiError, errorOf, unreachable } from './errors.ts'

/** What is uploaded: a file of the machine or of a browser. */
export interface UploadSource {
  sizeBytes: number
  /** The bytes from `from` up to, but not with, `until`. */
  read(from: number, until: number): Promise<Uint8Array<ArrayBuffer>>
}

/** A SHA-256 under way; Node and browsers have different ones. */
export interface Hasher {
  update(bytes: Uint8Array): unknown
  /** The digest in lower-case hexadecimal; asked for once, at the end. */
  hex(): string
}

export interface UploadOptions {
  /** Address of the control plane. */
  url: string
  /** Of the upload resource, such as `baseImageContentPath(id)`. */
  path: string
  /** A browser needs none, its cookie does. */
  token?: string | undefined
  source: UploadSource
  hasher: Hasher
  /** Bytes that are kept there, as often as there are more. */
  onProgress?: (doneBytes: number) => void
  /** Told when a try failed and another follows. */
  onRetry?: (error: ApiError) => void
  signal?: AbortSignal | undefined
  fetch?: typeof fetch
  /** Bytes in one request; default 8 MiB. */
  partBytes?: number
  /** Before the second try, doubled for each further one; default 1 s. */
  firstWaitMs?: number
  /** Tries in a row that bring nothing on; default 6. */
  maxTries?: number
}

const hashStepBytes = 1024 * 1024
const longestWaitMs = 15_000
/** A part that takes longer is given up and tried again. */
const partLimitMs = 10 * 60_000

/**
 * Uploads a file as `resumable-uploads.ts` of the contract says, from where an earlier upload of it broke off. The
 * SHA-256 is computed on the way and answered. Connections that break are tried again; what the server refuses is
 * thrown as `ApiError`.
 */
export async function uploadResumably(options: UploadOptions): Promise<{ sha256: string }> {
  const { source, maxTries = 6, firstWaitMs = 1000 } = options
  if (source.sizeBytes === 0) throw new ApiError('invalid-input', 'The file is empty.', { action: 'Choose another.' })
  const upload = createUpload(options)
  let tries = 0
  let known: Kept | undefined
  for (;;) {
    try {
      known ??= await upload.ask()
      options.onProgress?.(known.offset)
      if (known.isComplete) return { sha256: await upload.finish() }
      known = await upload.sendPart(known.offset)
      tries = 0
    } catch (error) {
      tries += 1
      if (!(error instanceof ApiError) || !isPassing(error) || tries >= maxTries) throw error
      options.onRetry?.(error)
      known = undefined
      const backoffMs = Math.min(longestWaitMs, firstWaitMs * 2 ** (tries - 1))
      await wait(Math.max(backoffMs, (error.retryAfterSeconds ?? 0) * 1000), options.signal)
    }
  }
}

/** What the server has. */
interface Kept {
  offset: number
  isComplete: boolean
}

function createUpload(options: UploadOptions) {
  const { source, hasher, partBytes = 8 * 1024 * 1024 } = options
  let hashedBytes = 0
  let sha256: string | undefined

  /** Reads on until the hash has everything before `until`; what was hashed is not read again. */
  async function hashUntil(until: number): Promise<void> {
    while (hashedBytes < until) {
      options.signal?.throwIfAborted()
      const next = Math.min(until, hashedBytes + hashStepBytes)
      hasher.update(await source.read(hashedBytes, next))
      hashedBytes = next
    }
  }

  async function finish(): Promise<string> {
    await hashUntil(source.sizeBytes)
    sha256 ??= hasher.hex()
    return sha256
  }

  return {
    finish,
    ask: async (): Promise<Kept> => {
      const response = await exchange(options, { method: 'HEAD', headers: {} })
      return keptOf(response, options)
    },
    async sendPart(offset: number): Promise<Kept> {
      if (offset > source.sizeBytes) {
        throw new ApiError('conflict', 'Another, longer file was begun to be uploaded there.', {
          action: 'Delete what was begun, and begin anew.',
        })
      }
      const until = Math.min(source.sizeBytes, offset + partBytes)
      const isLast = until === source.sizeBytes
      await hashUntil(until)
      const response = await exchange(options, {
        method: 'PATCH',
        headers: {
          'content-type': partialUploadType,
          [uploadOffsetHeader]: String(offset),
          [uploadCompleteHeader]: isLast ? '?1' : '?0',
          ...(isLast ? { [reprDigestHeader]: reprDigestOf(await finish()) } : {}),
        },
        body: await source.read(offset, until),
      })
      if (isLast) return { offset: until, isComplete: true }
      return { ...keptOf(response, options), isComplete: false }
    },
  }
}

function keptOf(response: Response, { url }: UploadOptions): Kept {
  const offset = Number(response.headers.get(uploadOffsetHeader) ?? Number.NaN)
  if (!Number.isSafeInteger(offset) || offset < 0) {
    throw new ApiError('internal', `${new URL(url).origin} does not say how much of the upload it has.`)
  }
  return { offset, isComplete: response.headers.get(uploadCompleteHeader) === '?1' }
}

async function exchange(
  { url, path, token, signal, fetch: fetchWith = fetch }: UploadOptions,
  request: { method: string; headers: Record<string, string>; body?: Uint8Array<ArrayBuffer> },
): Promise<Response> {
  const address = `${url.replace(/\/+$/, '')}${path}`
  const limit = AbortSignal.timeout(partLimitMs)
  try {
    const response = await fetchWith(address, {
      method: request.method,
      headers: { ...request.headers, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
      body: request.body ?? null,
      signal: signal === undefined ? limit : AbortSignal.any([signal, limit]),
    })
    if (response.ok) return response
    if (response.status === 409 && response.headers.has(uploadOffsetHeader)) throw elsewhere()
    throw refusalOf(response, await response.text(), address)
  } catch (error) {
    if (error instanceof ApiError || signal?.aborted === true) throw error
    throw unreachable(address, error)
  }
}

/** The answer to HEAD has no body that could say what is wrong. */
function refusalOf(response: Response, text: string, address: string): ApiError {
  const { status, headers } = response
  const known = { status, requestId: headers.get('x-request-id'), retryAfter: headers.get('retry-after') }
  if (text !== '') return errorOf(known, text, address)
  const { code } = errorOf(known, '', address)
  return new ApiError(code, `The upload was refused with status ${status}: ${errorTable[code].action}`)
}

/** Another offset than ours: it is looked up and gone on from, like what a broken connection left. */
function elsewhere(): ApiError {
  return new ApiError('unavailable', 'The server has another part of the file than was sent to it.', {
    action: 'Check that nobody else uploads the same file now, and try again.',
  })
}

function isPassing({ code }: ApiError): boolean {
  return ['unavailable', 'timeout', 'too-many-requests'].includes(code)
}

function wait(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    }, ms)
    if (signal?.aborted === true) onAbort()
    else signal?.addEventListener('abort', onAbort, { once: true })
  })
}

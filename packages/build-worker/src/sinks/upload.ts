import { createHash } from 'node:crypto'
import {
  FreeholdError,
  partialUploadType,
  reprDigestHeader,
  reprDigestOf,
  uploadCompleteHeader,
  uploadOffsetHeader,
} from '@freehold/contracts'
import { type Client, nameOf } from '../net/client.ts'
import { partsOf } from './parts.ts'
import { type Patience, type Sink, type Stored, withPatience } from './sink.ts'

const partBytes = 8 * 1024 * 1024
/** One is filled while the other is sent. */
const buffers = 2
/** Longest silence of the control plane; at the end it may have to read what it has. */
const idleMs = 120_000
/** Time for removing what was sent, after a failure. */
const dropMs = 15_000

export interface UploadSinkOptions {
  url: string
  token: string
  client: Client
  signal: AbortSignal
  log: (sentence: string) => void
  patience: Patience
}

/** Sends an image to the control plane in requests of 8 MiB, each taken up at the offset that is kept there. */
export function createUploadSink(options: UploadSinkOptions): Sink {
  return {
    async store(bytes) {
      const upload = new Upload(options)
      try {
        return await upload.run(bytes)
      } catch (error) {
        await upload.drop()
        throw error
      }
    },
  }
}

class Upload {
  readonly #options: UploadSinkOptions

  constructor(options: UploadSinkOptions) {
    this.#options = options
  }

  async run(bytes: AsyncIterable<Buffer>): Promise<Stored> {
    const hash = createHash('sha256')
    let sizeBytes = 0
    // Something of an attempt before may be there, and nobody knows whether it is the same.
    if ((await this.#patiently(() => this.#state())).offsetBytes > 0) await this.#request('DELETE', { expected: 'any' })
    let sending: Promise<void> = Promise.resolve()
    try {
      for await (const { body, offsetBytes, release } of partsOf(bytes, { partBytes, count: buffers })) {
        hash.update(body)
        sizeBytes += body.length
        await sending
        sending = this.#sendPart(body, offsetBytes).finally(release)
        // It is asked for with the next part; until then nobody listens.
        sending.catch(() => undefined)
      }
      await sending
    } finally {
      await sending.catch(() => undefined)
    }
    const sha256 = hash.digest('hex')
    await this.#finish({ sizeBytes, sha256 })
    return { sizeBytes, sha256 }
  }

  /** Takes away what was sent, so far as the control plane is there. */
  async drop(): Promise<void> {
    const { client, url, token } = this.#options
    const signal = AbortSignal.timeout(dropMs)
    const attempt = async () => {
      const headers = { authorization: `Bearer ${token}` }
      const answer = await client.send(url, { method: 'DELETE', headers, signal, idleMs: dropMs })
      await answer.body?.cancel()
    }
    await withPatience(attempt, {
      ...this.#options.patience,
      patienceMs: dropMs,
      signal,
      isTransient: (error) => !(error instanceof FreeholdError),
    }).catch(() => this.#options.log('What was sent of the image could not be removed; the control plane forgets it.'))
  }

  async #sendPart(body: Buffer, offsetBytes: number): Promise<void> {
    const endBytes = offsetBytes + body.length
    let keptBytes = offsetBytes
    let isCertain = true
    await this.#patiently(async (cameFurther) => {
      if (!isCertain) {
        const state = await this.#state()
        if (state.offsetBytes < offsetBytes || state.offsetBytes > endBytes) throw lost(this.#options.url)
        if (state.offsetBytes > keptBytes) cameFurther()
        keptBytes = state.offsetBytes
      }
      if (keptBytes === endBytes) return
      isCertain = false
      await this.#request('PATCH', {
        expected: 204,
        body: body.subarray(keptBytes - offsetBytes),
        headers: {
          'content-type': partialUploadType,
          [uploadOffsetHeader]: String(keptBytes),
          [uploadCompleteHeader]: '?0',
        },
      })
    })
  }

  async #finish({ sizeBytes, sha256 }: { sizeBytes: number; sha256: string }): Promise<void> {
    let isCertain = true
    await this.#patiently(async () => {
      if (!isCertain) {
        const state = await this.#state()
        if (state.isComplete) return
        if (state.offsetBytes !== sizeBytes) throw lost(this.#options.url)
      }
      isCertain = false
      await this.#request('PATCH', {
        expected: 204,
        body: Buffer.alloc(0),
        headers: {
          'content-type': partialUploadType,
          [uploadOffsetHeader]: String(sizeBytes),
          [uploadCompleteHeader]: '?1',
          [reprDigestHeader]: reprDigestOf(sha256),
        },
      })
    })
  }

  async #state(): Promise<{ offsetBytes: number; isComplete: boolean }> {
    const answer = await this.#request('HEAD', { expected: 204 })
    const offset = answer.get(uploadOffsetHeader) ?? ''
    if (!/^\d{1,15}$/.test(offset)) throw lost(this.#options.url)
    return { offsetBytes: Number(offset), isComplete: answer.get(uploadCompleteHeader) === '?1' }
  }

  async #request(
    method: string,
    request: { expected: number | 'any'; headers?: Record<string, string>; body?: Buffer },
  ): Promise<Headers> {
    const { client, url, token, signal } = this.#options
    const headers = { ...request.headers, authorization: `Bearer ${token}` }
    const body = request.body === undefined ? {} : { body: request.body }
    const answer = await client.send(url, { method, headers, ...body, signal, idleMs })
    await answer.body?.cancel()
    const isExpected = request.expected === 'any' ? answer.status < 500 : answer.ok
    if (!isExpected) throw new RefusedUpload(answer.status, url)
    return answer.headers
  }

  #patiently<Result>(attempt: (cameFurther: () => void) => Promise<Result>): Promise<Result> {
    const { log, signal, patience } = this.#options
    return withPatience(attempt, {
      ...patience,
      signal,
      isTransient: (error) =>
        !(error instanceof FreeholdError) || (error instanceof RefusedUpload && error.isTransient),
      onRetry: () => log('The control plane did not take a part of the image; it is asked where to go on.'),
    }).catch((error: unknown) => {
      signal.throwIfAborted()
      throw error instanceof FreeholdError ? error : unreachable(this.#options.url, error)
    })
  }
}

class RefusedUpload extends FreeholdError {
  /** 409 tells another offset: the next attempt asks for it. */
  readonly isTransient: boolean

  constructor(status: number, url: string) {
    super('upstream-failed', `The control plane does not take the image: ${nameOf(url)} answered ${status}.`)
    this.isTransient = status >= 500 || status === 408 || status === 409 || status === 429
  }
}

function lost(address: string): FreeholdError {
  return new FreeholdError('upstream-failed', `${nameOf(address)} no longer has what was sent to it.`)
}

function unreachable(address: string, cause: unknown): FreeholdError {
  const why = cause instanceof Error ? cause.message : String(cause)
  return new FreeholdError('upstream-failed', `The image cannot be sent to ${nameOf(address)}: ${why}`, { cause })
}

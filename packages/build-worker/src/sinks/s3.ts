import { createHash } from 'node:crypto'
import type { S3 } from '@aws-sdk/client-s3'
import { type CorebuildS3, FreeholdError } from '@freehold/contracts'
import type { AddressRule } from '../net/addresses.ts'
import { partsOf } from './parts.ts'
import { type Patience, type Sink, type Stored, withPatience } from './sink.ts'

/** 10,000 parts are the most of S3: images of up to 78 GiB. */
const partBytes = 8 * 1024 * 1024
const partsAtOnce = 2
const requestMs = 60_000
/** The store joins the parts; it may take its time. */
const completeMs = 300_000
/** Time for removing what was sent, after a failure. */
const dropMs = 30_000

export interface S3SinkOptions {
  descriptor: CorebuildS3
  key: string
  rule: AddressRule
  signal: AbortSignal
  log: (sentence: string) => void
  patience: Patience
}

/** Sends an image to an S3 store as one multipart upload; the object is there whole, or not at all. */
export function createS3Sink(options: S3SinkOptions): Sink {
  return {
    async store(bytes, contentType) {
      const multipart = new Multipart(options, await clientOf(options))
      try {
        return await multipart.run(bytes, contentType)
      } catch (error) {
        await multipart.drop()
        throw error
      } finally {
        multipart.close()
      }
    },
  }
}

/** The address of a store; throws `invalid-input` where it is none. */
export function endpointOf({ endpoint, port, useSsl }: CorebuildS3): URL {
  const scheme = /^https?:\/\//.exec(endpoint)?.[0] ?? `http${useSsl ? 's' : ''}://`
  const host = endpoint.replace(/^https?:\/\//, '').replace(/\/$/, '')
  const address = `${scheme}${host}${port === undefined ? '' : `:${port}`}`
  if (/^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d+)?$/.test(host) && URL.canParse(address)) return new URL(address)
  throw new FreeholdError(
    'invalid-input',
    'job.s3Descriptor.endpoint: must be a host, with its port where it has one',
    {
      details: [{ path: 'job.s3Descriptor.endpoint', message: 'must be a host' }],
    },
  )
}

class Multipart {
  readonly #options: S3SinkOptions
  readonly #client: S3
  readonly #host: string
  readonly #place: { Bucket: string; Key: string }
  #uploadId: string | undefined
  /** Whether the store was asked to join the parts: from then on the object may be there. */
  #isJoining = false

  constructor(options: S3SinkOptions, client: S3) {
    const { descriptor, key } = options
    this.#options = options
    this.#host = endpointOf(descriptor).host
    this.#place = { Bucket: descriptor.bucketName, Key: key }
    this.#client = client
  }

  async run(bytes: AsyncIterable<Buffer>, contentType: string): Promise<Stored> {
    await this.#dropOlder()
    const input = { ...this.#place, ContentType: contentType }
    const begun = await this.#patiently((settings) => this.#client.createMultipartUpload(input, settings))
    this.#uploadId = begun.UploadId ?? ''
    const stored = await this.#send(bytes)
    return stored
  }

  async #send(bytes: AsyncIterable<Buffer>): Promise<Stored> {
    const hash = createHash('sha256')
    const etags: string[] = []
    let sizeBytes = 0
    let failure: { error: unknown } | undefined
    const sending = new Set<Promise<void>>()
    try {
      for await (const { number, body, release } of partsOf(bytes, { partBytes, count: partsAtOnce + 1 })) {
        if (failure !== undefined) throw failure.error
        hash.update(body)
        sizeBytes += body.length
        const sent: Promise<void> = this.#sendPart(number, body)
          .then((etag) => {
            etags[number - 1] = etag
          })
          .catch((error: unknown) => {
            failure ??= { error }
          })
          .finally(() => {
            sending.delete(sent)
            release()
          })
        sending.add(sent)
        if (sending.size === partsAtOnce) await Promise.race(sending)
      }
    } finally {
      await Promise.all(sending)
    }
    if (failure !== undefined) throw failure.error
    await this.#join(etags, sizeBytes)
    return { sizeBytes, sha256: hash.digest('hex') }
  }

  async #sendPart(number: number, body: Buffer): Promise<string> {
    const input = {
      ...this.#place,
      UploadId: this.#uploadId,
      PartNumber: number,
      Body: body,
      ContentLength: body.length,
    }
    const { ETag } = await this.#patiently((settings) => this.#client.uploadPart(input, settings))
    return ETag ?? ''
  }

  /** Where the answer to an attempt was lost, the next one finds no such upload: then the object tells. */
  async #join(etags: readonly string[], sizeBytes: number): Promise<void> {
    const parts = etags.map((etag, index) => ({ PartNumber: index + 1, ETag: etag }))
    const input = { ...this.#place, UploadId: this.#uploadId, MultipartUpload: { Parts: parts } }
    this.#isJoining = true
    let isRepeated = false
    await this.#patiently(async (settings) => {
      try {
        await this.#client.completeMultipartUpload(input, { ...settings, requestTimeout: completeMs })
      } catch (error) {
        const isGone = error instanceof Error && error.name === 'NoSuchUpload'
        if (!(isGone && isRepeated)) throw error
      } finally {
        isRepeated = true
      }
    })
    const found = await this.#patiently((settings) => this.#client.headObject(this.#place, settings))
    if (found.ContentLength === sizeBytes) return
    throw new FreeholdError('upstream-failed', `The S3 store ${this.#host} does not have the image whole.`)
  }

  /** A worker that was killed leaves its parts; nobody but an attempt at the same image would find them. */
  async #dropOlder(): Promise<void> {
    const { Bucket, Key } = this.#place
    const found = await this.#patiently((settings) =>
      this.#client.listMultipartUploads({ Bucket, Prefix: Key }, settings),
    ).catch((error: unknown) => {
      this.#options.signal.throwIfAborted()
      // Some credentials may write but not list.
      if (error instanceof FreeholdError && error.code === 'forbidden') return undefined
      throw error
    })
    for (const { Key: key, UploadId } of found?.Uploads ?? []) {
      if (key !== Key || UploadId === undefined) continue
      await this.#patiently((settings) => this.#client.abortMultipartUpload({ ...this.#place, UploadId }, settings))
    }
  }

  /** Takes away what was sent; tries for a while, since a store that is away is why most uploads fail. */
  async drop(): Promise<void> {
    if (this.#uploadId === undefined) return
    const signal = AbortSignal.timeout(dropMs)
    const settings = { abortSignal: signal, requestTimeout: requestMs }
    const UploadId = this.#uploadId
    const attempt = async () => {
      await this.#client.abortMultipartUpload({ ...this.#place, UploadId }, settings).catch((error: unknown) => {
        if (!(error instanceof Error) || error.name !== 'NoSuchUpload') throw error
      })
      if (this.#isJoining) await this.#client.deleteObject(this.#place, settings)
    }
    await withPatience(attempt, { ...this.#options.patience, patienceMs: dropMs, signal, isTransient }).catch(() =>
      this.#options.log(`Parts of the image are left in ${this.#host}; the next attempt at it removes them.`),
    )
  }

  close(): void {
    this.#client.destroy()
  }

  #patiently<Result>(
    attempt: (settings: { abortSignal: AbortSignal; requestTimeout: number }) => Promise<Result>,
  ): Promise<Result> {
    const { signal, log, patience } = this.#options
    const settings = { abortSignal: signal, requestTimeout: requestMs }
    return withPatience(() => attempt(settings), {
      ...patience,
      signal,
      isTransient,
      onRetry: () => log(`The S3 store ${this.#host} did not answer; it is asked again.`),
    }).catch((error: unknown) => {
      signal.throwIfAborted()
      throw failureOf(error, this.#host)
    })
  }
}

/** The SDK is loaded for jobs that need it: it takes memory that others are better without. */
async function clientOf({ descriptor, rule }: S3SinkOptions): Promise<S3> {
  const endpoint = endpointOf(descriptor)
  rule.check(endpoint)
  const { S3 } = await import('@aws-sdk/client-s3')
  const agent = { keepAlive: true, maxSockets: 8, lookup: rule.lookupFor(endpoint) }
  return new S3({
    endpoint: endpoint.origin,
    region: descriptor.region ?? 'us-east-1',
    credentials: { accessKeyId: descriptor.accessKey, secretAccessKey: descriptor.accessSecret },
    forcePathStyle: true,
    // Other stores than Amazon's do not take the checksums that the SDK adds by itself; bodies are signed by SHA-256.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    maxAttempts: 2,
    requestHandler: { connectionTimeout: 10_000, throwOnRequestTimeout: true, httpAgent: agent, httpsAgent: agent },
  })
}

/** What another attempt may change: no answer, or one that the store is not well. */
function isTransient(error: unknown): boolean {
  if (error instanceof FreeholdError) return false
  const status = statusOf(error)
  return status === undefined || status >= 500 || status === 408 || status === 429
}

function statusOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('$metadata' in error)) return undefined
  return (error.$metadata as { httpStatusCode?: number }).httpStatusCode
}

/** Only the store's code is passed on: it may answer a wrong signature with the key and the text that was signed. */
function failureOf(error: unknown, host: string): FreeholdError {
  if (error instanceof FreeholdError) return error
  const status = statusOf(error)
  const { code } = error as NodeJS.ErrnoException
  const name = code ?? (error instanceof Error ? error.name : 'Unknown')
  const word = /^[A-Za-z0-9_]{1,64}$/.test(name) ? name : 'Unknown'
  const isRefused = status === 403 || status === 401
  return new FreeholdError(
    isRefused ? 'forbidden' : 'upstream-failed',
    status === undefined
      ? `The S3 store ${host} cannot be reached (${word}).`
      : `The S3 store ${host} answered ${status} (${word})${isRefused ? ': check key, secret and what they may do' : ''}.`,
  )
}

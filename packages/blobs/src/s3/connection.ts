import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { GetObjectCommand, S3 } from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import { isAbsent, S3Failure, toS3Failure } from './errors.ts'

/** How long a store may take, in milliseconds; each is the limit of one attempt. */
export interface S3Limits {
  connectMs: number
  /** Small requests: heads, lists, deletes. */
  requestMs: number
  /** Sending one part, or waiting for the first byte of a blob. */
  transferMs: number
  /** Copies within the store, and joining parts. */
  copyMs: number
  /** Silence in the middle of a blob. */
  stallMs: number
  /** Attempts of one request, the first included. */
  attempts: number
}

export interface S3Address {
  /** `https://s3.example.com:9000`; the bucket is named in the path. */
  endpoint: string
  region: string
  bucket: string
  accessKey: string
  /** Asked for each time, so that it is nowhere in a printed object. */
  secretKey: () => string
}

export interface FoundObject {
  sizeBytes: number
  etag: string
  modifiedAtMs: number
}

export interface OpenObject {
  body: Readable
  /** Of the whole object, not of the range. */
  sizeBytes: number
  etag: string
}

/** What the SDK takes with each request. */
interface RequestOptions {
  abortSignal: AbortSignal
  requestTimeout: number
}

/** Transfers at once; whoever comes later waits for a free socket, within the limit of its request. */
const socketLimit = 512
/** Time besides the attempts themselves: the pauses between them. */
const pausesMs = 30_000

const sharedSettings = {
  // Streams and other stores than Amazon's do not take the checksums that the SDK adds by itself. Bodies are signed
  // with their SHA-256 all the same.
  requestChecksumCalculation: 'WHEN_REQUIRED',
  responseChecksumValidation: 'WHEN_REQUIRED',
  forcePathStyle: true,
  retryMode: 'standard',
} as const

/** One bucket, every request to it limited in time and attempts. Everything it throws is an `S3Failure`. */
export class Connection {
  readonly bucket: string
  readonly limits: S3Limits
  readonly #client: S3

  constructor(address: S3Address, limits: S3Limits) {
    this.bucket = address.bucket
    this.limits = limits
    this.#client = new S3({
      ...sharedSettings,
      endpoint: address.endpoint,
      region: address.region,
      credentials: async () => ({ accessKeyId: address.accessKey, secretAccessKey: address.secretKey() }),
      maxAttempts: limits.attempts,
      requestHandler: {
        connectionTimeout: limits.connectMs,
        throwOnRequestTimeout: true,
        // A slow receiver of a blob is no fault of the store: silence is watched where the bytes are read.
        socketTimeout: 0,
        httpAgent: { keepAlive: true, maxSockets: socketLimit },
        httpsAgent: { keepAlive: true, maxSockets: socketLimit },
      },
    })
  }

  close(): void {
    this.#client.destroy()
  }

  /** Runs one request of the SDK within `limitMs` an attempt. */
  async call<T>(
    work: (client: S3, options: RequestOptions) => Promise<T>,
    { limitMs = this.limits.requestMs, signal }: { limitMs?: number; signal?: AbortSignal } = {},
  ): Promise<T> {
    const deadline = AbortSignal.timeout(limitMs * this.limits.attempts + pausesMs)
    const abortSignal = signal === undefined ? deadline : AbortSignal.any([signal, deadline])
    try {
      return await work(this.#client, { abortSignal, requestTimeout: limitMs })
    } catch (error) {
      if (deadline.aborted) throw new S3Failure('TimeoutError', { reason: 'The request took too long.' })
      throw toS3Failure(error)
    }
  }

  async head(key: string): Promise<FoundObject | undefined> {
    const found = await ifPresent(this.call((s3, options) => s3.headObject({ Bucket: this.bucket, Key: key }, options)))
    if (found === undefined) return undefined
    return {
      sizeBytes: found.ContentLength ?? 0,
      etag: plainEtag(found.ETag),
      modifiedAtMs: found.LastModified?.getTime() ?? 0,
    }
  }

  async put(key: string, body: Buffer): Promise<{ etag: string }> {
    const limitMs = this.limits.transferMs
    const input = { Bucket: this.bucket, Key: key, Body: body, ContentType: contentType, ContentLength: body.length }
    const { ETag } = await this.call((s3, options) => s3.putObject(input, options), { limitMs })
    return { etag: plainEtag(ETag) }
  }

  async remove(key: string): Promise<void> {
    await this.call((s3, options) => s3.deleteObject({ Bucket: this.bucket, Key: key }, options))
  }

  /**
   * Removes what may be written again at once. An attempt without an answer may still be carried out: after such a one
   * this waits as long as another attempt might take, so that it does not hit what is written next.
   */
  async removeForGood(key: string): Promise<void> {
    const input = { Bucket: this.bucket, Key: key }
    let certain = false
    try {
      const { $metadata } = await this.call((s3, options) => s3.deleteObject(input, options))
      certain = $metadata.attempts === 1
    } finally {
      if (!certain) await sleep(this.limits.requestMs)
    }
  }

  /**
   * Begins to read an object, from `start` to `end`, both included; `end` may lie beyond it. With `etag` only if it is
   * still that one. The time until the first byte is limited, that of the body is not.
   */
  async get(
    key: string,
    options: { range?: { start: number; end?: number }; etag?: string } = {},
  ): Promise<OpenObject> {
    const { range, etag } = options
    const waiting = new AbortController()
    const { transferMs, attempts } = this.limits
    const timer = setTimeout(() => waiting.abort(), transferMs * attempts + pausesMs)
    try {
      const input = {
        Bucket: this.bucket,
        Key: key,
        ...(range === undefined ? {} : { Range: `bytes=${range.start}-${range.end ?? ''}` }),
        ...(etag === undefined ? {} : { IfMatch: `"${etag}"` }),
      }
      const found = await this.#client.getObject(input, { abortSignal: waiting.signal, requestTimeout: transferMs })
      const body = found.Body as Readable | undefined
      if (body === undefined) throw new S3Failure('EmptyAnswer', { reason: 'The store sent no body.' })
      // Whoever reads later hears of an error from the reading itself.
      body.on('error', () => {})
      const total = /\/(\d+)$/.exec(found.ContentRange ?? '')?.[1]
      return { body, sizeBytes: Number(total ?? found.ContentLength ?? 0), etag: plainEtag(found.ETag) }
    } catch (error) {
      throw toS3Failure(error)
    } finally {
      clearTimeout(timer)
    }
  }

  /** Copies within the bucket, if the source is still the one of `etag`; for objects up to five gibibytes. */
  async copy({ from, to, etag }: { from: string; to: string; etag: string }): Promise<void> {
    const limitMs = this.limits.copyMs
    const input = { Bucket: this.bucket, Key: to, CopySource: this.source(from), CopySourceIfMatch: `"${etag}"` }
    await this.call((s3, options) => s3.copyObject(input, options), { limitMs })
  }

  source(key: string): string {
    return `${this.bucket}/${key}`
  }

  /** Everything below `prefix`, a page of a thousand at a time, in the order of keys; from the one after `after` on. */
  async *list(prefix: string, after?: string): AsyncGenerator<FoundObject & { key: string }> {
    let token: string | undefined
    do {
      const begin = after === undefined ? {} : { StartAfter: after }
      const from = token === undefined ? begin : { ContinuationToken: token }
      const page = await this.call((s3, options) =>
        s3.listObjectsV2({ Bucket: this.bucket, Prefix: prefix, ...from }, options),
      )
      for (const { Key, Size, ETag, LastModified } of page.Contents ?? []) {
        if (Key === undefined) continue
        yield {
          key: Key,
          sizeBytes: Size ?? 0,
          etag: plainEtag(ETag),
          modifiedAtMs: LastModified?.getTime() ?? 0,
        }
      }
      token = page.IsTruncated === true ? page.NextContinuationToken : undefined
    } while (token !== undefined)
  }

  /** An address for `GET` that carries its own permission; with `as` the answer says what file it is. */
  presign(key: string, expiresInSeconds: number, as?: { filename: string; contentType: string }): Promise<string> {
    const command = new GetObjectCommand({
      Bucket: this.bucket,
      Key: key,
      ...(as === undefined
        ? {}
        : {
            ResponseContentDisposition: `attachment; filename="${as.filename}"`,
            ResponseContentType: as.contentType,
          }),
    })
    return getSignedUrl(this.#client, command, { expiresIn: expiresInSeconds })
  }
}

export const contentType = 'application/octet-stream'

/** Some answers quote it and some do not. */
export function plainEtag(etag: string | undefined): string {
  return (etag ?? '').replaceAll('"', '')
}

/** Undefined where the store says that there is no such object. */
export async function ifPresent<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work
  } catch (error) {
    if (isAbsent(error)) return undefined
    throw error
  }
}

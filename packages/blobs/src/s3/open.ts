import { buffer } from 'node:stream/consumers'
import type { BlobStore } from '../blobs.ts'
import { BlobError } from '../errors.ts'
import { PartBuffers } from './buffers.ts'
import { Connection, ifPresent, type S3Address, type S3Limits } from './connection.ts'
import { isRefusal, type S3Failure, toS3Failure } from './errors.ts'
import { keysOf } from './layout.ts'
import { S3Blobs } from './store.ts'

export interface S3BlobsOptions extends S3Address {
  /** Names the installation the blobs belong to; another one is refused. The same for all its control planes. */
  owner: string
  /** `redirect`: clients fetch blobs from the store, by an address that is good for five minutes. */
  downloads: 'redirect' | 'proxy'
  /** Where in the bucket; default `registry/`. */
  prefix?: string
  /** Of every part but the last, 5 MiB to 5 GiB; default 8 MiB. Uploads under way when it changes are lost. */
  partBytes?: number
  /** Parts in memory, over all transfers; default 16. */
  partsInMemory?: number
  /** What one request copies within the store; default 5 GiB, which is the most. */
  largestCopyBytes?: number
  limits?: Partial<S3Limits>
}

export const defaultLimits: S3Limits = {
  connectMs: 5_000,
  requestMs: 15_000,
  transferMs: 60_000,
  copyMs: 600_000,
  stallMs: 30_000,
  attempts: 3,
}
const mebibyte = 1024 * 1024
const addressSeconds = 300
const ownerLimitBytes = 1024

/**
 * Opens the bucket, and makes it where it is missing and the credentials allow it. Throws a `BlobError` of code
 * `storage-unavailable` whose sentence says what to do: the store is away, refuses, or belongs to another installation.
 */
export async function openS3Blobs(options: S3BlobsOptions): Promise<{ store: BlobStore; close(): void }> {
  const connection = new Connection(options, { ...defaultLimits, ...options.limits })
  const keys = keysOf(options.prefix ?? 'registry/')
  try {
    await ensureBucket(connection, options)
    await claim(connection, { key: keys.owner, options })
  } catch (error) {
    connection.close()
    throw error
  }
  const waitMs = connection.limits.transferMs
  const partBytes = options.partBytes ?? 8 * mebibyte
  const store = new S3Blobs({
    connection,
    keys,
    buffers: new PartBuffers({ count: options.partsInMemory ?? 16, partBytes, waitMs }),
    largestCopyBytes: options.largestCopyBytes ?? 5 * 1024 * mebibyte,
    addressSeconds: options.downloads === 'redirect' ? addressSeconds : undefined,
  })
  return { store, close: () => connection.close() }
}

async function ensureBucket(connection: Connection, options: S3BlobsOptions): Promise<void> {
  const Bucket = options.bucket
  try {
    await connection.call((s3, limits) => s3.listObjectsV2({ Bucket, MaxKeys: 1 }, limits))
    return
  } catch (error) {
    const failure = toS3Failure(error)
    if (failure.code !== 'NoSuchBucket') throw cannotUse(options, failure)
  }
  try {
    await connection.call((s3, limits) => s3.createBucket({ Bucket }, limits))
  } catch (error) {
    const failure = toS3Failure(error)
    if (failure.code === 'BucketAlreadyOwnedByYou') return
    if (failure.code === 'InvalidLocationConstraint') {
      const sentence = `There is no bucket "${Bucket}" at ${options.endpoint}, and it cannot be made, because the store knows no region "${options.region}". Correct S3_REGION, or leave it out.`
      throw new BlobError('storage-unavailable', sentence, { cause: failure })
    }
    const sentence = `There is no bucket "${Bucket}" at ${options.endpoint}, and it cannot be made with these credentials (${failure.code}). Make it, or correct S3_BUCKET.`
    throw new BlobError('storage-unavailable', sentence, { cause: failure })
  }
}

/** Two installations in one place would each take the other's blobs for garbage. */
async function claim(
  connection: Connection,
  { key, options }: { key: string; options: S3BlobsOptions },
): Promise<void> {
  try {
    const found = await ifPresent(connection.get(key, { range: { start: 0, end: ownerLimitBytes - 1 } }))
    if (found === undefined) {
      await connection.put(key, Buffer.from(options.owner))
      return
    }
    if ((await buffer(found.body)).toString() === options.owner) return
  } catch (error) {
    throw cannotUse(options, toS3Failure(error))
  }
  throw new BlobError(
    'storage-unavailable',
    `The bucket "${options.bucket}" at ${options.endpoint} holds the registry of another Freehold installation (another APP_SECRET or secret.key). Give this one a bucket of its own; or, if this is that installation with a new secret, delete the object ${key} from the bucket.`,
  )
}

function cannotUse({ bucket, endpoint, accessKey }: S3BlobsOptions, failure: S3Failure): BlobError {
  const sentence = isRefusal(failure)
    ? refusalSentence({ bucket, endpoint, accessKey, failure })
    : `The S3 store at ${endpoint} cannot be reached or does not answer as it should (${failure.message}). Check S3_ENDPOINT, S3_PORT and S3_USESSL, and that it runs.`
  return new BlobError('storage-unavailable', sentence, { cause: failure })
}

function refusalSentence(options: { bucket: string; endpoint: string; accessKey: string; failure: S3Failure }): string {
  const { bucket, endpoint, accessKey, failure } = options
  switch (failure.code) {
    case 'InvalidAccessKeyId':
      return `The S3 store at ${endpoint} does not know the access key ${accessKey.slice(0, 4)}…. Check S3_ACCESSKEY.`
    case 'SignatureDoesNotMatch':
      return `The S3 store at ${endpoint} does not accept the secret key. Check S3_SECRETKEY.`
    case 'PermanentRedirect':
    case 'AuthorizationHeaderMalformed':
      return `The bucket "${bucket}" is in another region. Set S3_REGION to that of the bucket.`
    case 'RequestTimeTooSkewed':
      return `The clock of this machine and that of the S3 store at ${endpoint} are too far apart. Set the clock.`
    default:
      return `The S3 store at ${endpoint} refuses the bucket "${bucket}" to these credentials (${failure.code}). They need to list the bucket, and to read, write and delete its objects.`
  }
}

import { createHash } from 'node:crypto'
import { S3 } from '@aws-sdk/client-s3'
import type { RunningObjectStore } from '../../../../tools/object-store.ts'
import type { BlobStore } from '../blobs.ts'
import { openS3Blobs, type S3BlobsOptions } from './index.ts'

export const partBytes = 5 * 1024 * 1024

/** Limits under which a store that falls silent shows soon. For nothing else: a busy machine is slow as well. */
export const shortLimits = {
  connectMs: 3_000,
  requestMs: 3_000,
  transferMs: 5_000,
  copyMs: 10_000,
  stallMs: 2_000,
  attempts: 3,
}

/** A store of its own prefix in a bucket, and a look at what really lies there. */
export interface Place {
  options: S3BlobsOptions
  store: BlobStore
  /** The same place opened anew, as by another process. */
  reopen(options?: Partial<S3BlobsOptions>): Promise<BlobStore>
  /** Keys below the prefix, without it and without `owner`. */
  keys(): Promise<string[]>
  multiparts(): Promise<{ key: string; id: string }[]>
  s3: S3
  close(): void
}

let places = 0

export async function openPlace(running: RunningObjectStore, given: Partial<S3BlobsOptions> = {}): Promise<Place> {
  places += 1
  const prefix = `place-${process.pid}-${places}/`
  const options: S3BlobsOptions = {
    endpoint: running.endpoint,
    region: 'us-east-1',
    bucket: 'blobs',
    accessKey: running.accessKey,
    secretKey: () => running.secretKey,
    owner: 'tests',
    downloads: 'proxy',
    prefix,
    partBytes,
    ...given,
  }
  const closes: (() => void)[] = []
  const open = async (changed: Partial<S3BlobsOptions>) => {
    const opened = await openS3Blobs({ ...options, ...changed })
    closes.push(opened.close)
    return opened.store
  }
  const s3 = new S3({
    endpoint: running.endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId: running.accessKey, secretAccessKey: running.secretKey },
  })
  closes.push(() => s3.destroy())
  const Bucket = options.bucket
  return {
    options,
    store: await open({}),
    reopen: (changed = {}) => open(changed),
    async keys() {
      const { Contents } = await s3.listObjectsV2({ Bucket, Prefix: prefix })
      return (Contents ?? []).map(({ Key }) => (Key ?? '').slice(prefix.length)).filter((key) => key !== 'owner')
    },
    async multiparts() {
      const { Uploads } = await s3.listMultipartUploads({ Bucket, Prefix: prefix })
      return (Uploads ?? []).map(({ Key = '', UploadId = '' }) => ({ key: Key.slice(prefix.length), id: UploadId }))
    },
    s3,
    close() {
      for (const close of closes) close()
    },
  }
}

export function sha256(content: Buffer): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`
}

import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { BlobError, type BlobStore, createFileBlobs } from '@freehold/blobs'
import { type CorebuildS3, FreeholdError } from '@freehold/contracts'
import type { Logger } from 'pino'
import type { S3ForWorkers } from './builds/index.ts'
import type { Config } from './config/index.ts'
import type { ServerSecret } from './secrets/index.ts'

export interface OpenBlobs {
  store: BlobStore
  /** Where build workers put images by themselves; null: blobs are in the data directory. */
  s3ForWorkers: S3ForWorkers | null
  close(): void
}

/**
 * Opens the blobs where the configuration says: in an S3 store, else in the data directory. Throws with a sentence that
 * says what to do where the S3 store is away, refuses, or belongs to another installation.
 */
export async function openBlobs(
  config: Pick<Config, 's3' | 'dataDirectory'>,
  { secret, log }: { secret: ServerSecret; log: Pick<Logger, 'warn'> },
): Promise<OpenBlobs> {
  if (config.s3 === undefined) {
    const store = await createFileBlobs({ directory: join(config.dataDirectory, 'blobs') })
    return { store, s3ForWorkers: null, close: () => {} }
  }
  if (existsSync(join(config.dataDirectory, 'blobs', 'blobs', 'sha256'))) {
    log.warn(
      {},
      'blobs are in S3 now; those in the data directory are not looked at (docs/registry.md says how to move them)',
    )
  }
  const { s3 } = config
  const { accessKey, secretKey, ...address } = s3
  // Loaded only where it is used: it would cost every other start its time and memory.
  const { createS3Objects, openS3Blobs } = await import('@freehold/blobs/s3')
  try {
    const place = { ...address, accessKey: accessKey.reveal(), secretKey: () => secretKey.reveal() }
    const opened = await openS3Blobs({ ...place, owner: installationOf(secret) })
    const objects = createS3Objects(place)
    return {
      store: opened.store,
      s3ForWorkers: { objects, descriptor: () => descriptorOf(s3) },
      close() {
        opened.close()
        objects.close()
      },
    }
  } catch (error) {
    if (error instanceof BlobError) throw new FreeholdError('unavailable', error.message, { cause: error })
    throw error
  }
}

/** The same store, in the words that build workers know. */
function descriptorOf({ endpoint, region, bucket, accessKey, secretKey }: NonNullable<Config['s3']>): CorebuildS3 {
  const { hostname, port, protocol } = new URL(endpoint)
  const useSsl = protocol === 'https:'
  return {
    endpoint: hostname,
    port: Number(port === '' ? (useSsl ? 443 : 80) : port),
    useSsl,
    region,
    bucketName: bucket,
    accessKey: accessKey.reveal(),
    accessSecret: secretKey.reveal(),
  }
}

/** The same on every control plane of an installation, and tells nothing of its secret. */
function installationOf(secret: ServerSecret): string {
  return createHash('sha256').update(secret.deriveKey('blobs-owner').reveal()).digest('hex')
}

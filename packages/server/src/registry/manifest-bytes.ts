import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { BlobError, type BlobStore, parseDigest } from '@freehold/blobs'
import { RegistryError } from './errors.ts'

/** Bytes of manifests kept in memory. */
const cacheLimitBytes = 16 * 1024 * 1024

/** Manifests are small and read often: the newest used ones stay in memory. Whether one may be read is not asked here. */
export interface ManifestBytes {
  /** Stores them durably under their digest. */
  put(digest: string, bytes: Buffer): Promise<void>
  /** Throws `manifest-damaged` where the stored bytes are gone or are not those of the digest. */
  get(digest: string): Promise<Buffer>
}

export function createManifestBytes(options: {
  blobs: BlobStore
  /** Stored bytes are not those of the digest. */
  onDamage: (digest: string) => void
}): ManifestBytes {
  const { blobs, onDamage } = options
  /** In order of last use. Content never changes under a digest, so nothing here can be stale. */
  const cache = new Map<string, Buffer>()
  let cachedBytes = 0

  const remember = (digest: string, bytes: Buffer) => {
    cachedBytes += bytes.length - (cache.get(digest)?.length ?? 0)
    cache.delete(digest)
    cache.set(digest, bytes)
    for (const [oldest, old] of cache) {
      if (cachedBytes <= cacheLimitBytes) break
      cache.delete(oldest)
      cachedBytes -= old.length
    }
  }

  return {
    async put(digest, bytes) {
      await blobs.put(digest, Readable.from([bytes]))
      remember(digest, bytes)
    },
    async get(digest) {
      const cached = cache.get(digest)
      if (cached !== undefined) {
        remember(digest, cached)
        return cached
      }
      const bytes = await read(blobs, digest).catch((error: unknown) => {
        onDamage(digest)
        throw error
      })
      remember(digest, bytes)
      return bytes
    },
  }
}

async function read(blobs: BlobStore, digest: string): Promise<Buffer> {
  const damaged = (cause?: unknown) =>
    new RegistryError('manifest-damaged', `The stored manifest ${digest} is damaged; push it again to heal it.`, {
      cause,
    })
  const bytes = await blobs
    .open(digest)
    .then(buffer, (cause: unknown) => Promise.reject(isAway(cause) ? cause : damaged(cause)))
  const algorithm = parseDigest(digest)?.algorithm ?? 'sha256'
  if (digestOf(bytes, algorithm) !== digest) throw damaged()
  return bytes
}

/** What cannot be reached just now is not damaged. */
function isAway(cause: unknown): boolean {
  return cause instanceof BlobError && cause.code === 'storage-unavailable'
}

export function digestOf(bytes: Uint8Array, algorithm: 'sha256' | 'sha512'): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`
}

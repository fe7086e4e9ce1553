/** A push without HTTP, for tests of what follows from one; nothing of it runs in production. */
import { Readable } from 'node:stream'
import type { BlobStore } from '@freehold/blobs'
import type { Actor, Store } from '@freehold/store'
import { parseManifest } from './manifest.ts'
import { digestOf } from './manifest-bytes.ts'
import { pushManifest } from './push.ts'
import { linkBlob } from './repository.ts'

const limits = { quotaBytes: null }

/** Stores blobs and manifest, and all that the push of a client would write. */
export async function pushDirectly(
  { store, blobs }: { store: Store; blobs: BlobStore },
  push: { repository: string; manifest: string; blobs: readonly Buffer[]; tags: readonly string[]; actor: Actor },
): Promise<void> {
  const { repository, tags, actor } = push
  for (const blob of push.blobs) {
    const digest = digestOf(blob, 'sha256')
    await blobs.put(digest, Readable.from([blob]))
    await linkBlob(store, actor, { repository, digest, sizeBytes: blob.length, limits })
  }
  const bytes = Buffer.from(push.manifest)
  const digest = digestOf(bytes, 'sha256')
  await blobs.put(digest, Readable.from([bytes]))
  const manifest = parseManifest(bytes, undefined)
  const at = new Date().toISOString()
  const sizeBytes = bytes.length
  await pushManifest(store, actor, { repository, digest, sizeBytes, manifest, tags, platforms: [], at, limits })
}

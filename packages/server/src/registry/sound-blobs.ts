import { BlobError, type BlobStore } from '@freehold/blobs'
import type { Damage } from './damage.ts'

/**
 * The blob store as pushes and pulls see it: bytes known to be damaged are not there. So a client that asks with HEAD
 * sends them again, a mount becomes an upload, and a pull fails in words instead of giving bytes that are wrong. Storing
 * them again clears what was known, before the push is answered.
 *
 * Who sends bytes has asked `stat` first; `send` itself does not look a second time.
 */
export function createSoundBlobs(blobs: BlobStore, damage: Damage): BlobStore {
  return {
    async stat(digest) {
      const [found, damaged] = await Promise.all([blobs.stat(digest), damage.find(digest)])
      return damaged === undefined ? found : undefined
    },
    async open(digest, range) {
      if ((await damage.find(digest)) === undefined) return blobs.open(digest, range)
      throw new BlobError('blob-unknown', `The stored bytes of ${digest} are damaged; push it again to heal it.`)
    },
    send: (digest, target, range) => blobs.send(digest, target, range),
    async put(digest, source) {
      const stored = await blobs.put(digest, source)
      await damage.healed(digest)
      return stored
    },
    async finishUpload(id, digest) {
      const stored = await blobs.finishUpload(id, digest)
      await damage.healed(digest)
      return stored
    },
    delete: (digest) => blobs.delete(digest),
    list: (options) => blobs.list(options),
    createUpload: (options) => blobs.createUpload(options),
    uploadStatus: (id) => blobs.uploadStatus(id),
    appendUpload: (id, offset, source) => blobs.appendUpload(id, offset, source),
    cancelUpload: (id) => blobs.cancelUpload(id),
    sweepUploads: (options) => blobs.sweepUploads(options),
  }
}

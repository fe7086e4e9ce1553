import { BlobError, type BlobStore } from '@freehold/blobs'
import type { Damage } from './damage.ts'

/**
 * The blob store as pushes and pulls see it: bytes known to be damaged are not there. So a client that asks with HEAD
 * sends them again, a mount becomes an upload, and a pull fails in words instead of giving bytes that are wrong. Storing
 * them again clears what was known, before the push is answered.
 *
 * Who sends bytes has asked `stat` first; `send` itself does not look a second time. All other methods are the store's own.
 */
export function createSoundBlobs(blobs: BlobStore, damage: Damage): BlobStore {
  const changed: Pick<BlobStore, 'stat' | 'open' | 'put' | 'finishUpload'> = {
    async stat(digest) {
      const [found, damaged] = await Promise.all([blobs.stat(digest), damage.find(digest)])
      return damaged === undefined ? found : undefined
    },
    async open(...parameters) {
      const [digest] = parameters
      if ((await damage.find(digest)) === undefined) return blobs.open(...parameters)
      throw new BlobError('blob-unknown', `The stored bytes of ${digest} are damaged; push it again to heal it.`)
    },
    async put(...parameters) {
      const stored = await blobs.put(...parameters)
      await damage.healed(parameters[0])
      return stored
    },
    async finishUpload(...parameters) {
      const stored = await blobs.finishUpload(...parameters)
      await damage.healed(parameters[1])
      return stored
    },
  }
  return new Proxy(blobs, {
    get(target, name) {
      if (Object.hasOwn(changed, name)) return Reflect.get(changed, name)
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

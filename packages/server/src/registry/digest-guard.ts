/**
 * Keeps the bytes of a digest while a push is between storing them and the row that names them. Invariants:
 * - Removing and holding one digest never overlap; any number may hold it at once.
 * - Removing never waits, so pushes cannot starve it for long nor it a push: what is held is left for the next time.
 *
 * It knows this process only: blobs, in a directory or in a bucket, belong to one server.
 */
export interface DigestGuard {
  /** Runs `work`, waiting first for a removal of the same digest to end. */
  hold<T>(digest: string, work: () => Promise<T>): Promise<T>
  /** Runs `work` unless somebody holds the digest; undefined then. */
  removing<T>(digest: string, work: () => Promise<T>): Promise<T | undefined>
}

export function createDigestGuard(): DigestGuard {
  const holders = new Map<string, number>()
  const removals = new Map<string, Promise<void>>()

  const release = (digest: string) => {
    const left = (holders.get(digest) ?? 1) - 1
    if (left === 0) holders.delete(digest)
    else holders.set(digest, left)
  }

  return {
    async hold(digest, work) {
      for (let removal = removals.get(digest); removal !== undefined; removal = removals.get(digest)) await removal
      holders.set(digest, (holders.get(digest) ?? 0) + 1)
      try {
        return await work()
      } finally {
        release(digest)
      }
    },
    async removing(digest, work) {
      if (holders.has(digest) || removals.has(digest)) return undefined
      const { promise, resolve } = Promise.withResolvers<void>()
      removals.set(digest, promise)
      try {
        return await work()
      } finally {
        removals.delete(digest)
        resolve()
      }
    },
  }
}

import type { IncomingMessage } from 'node:http'
import { finished, type Readable, Transform } from 'node:stream'
import type { Store } from '@freehold/store'
import { findUsage, isHeld, type QuotaPassed } from '../images/index.ts'
import { quotaError } from './quota-error.ts'
import { findLink, findManifest, type Limits } from './repository.ts'

interface Wish {
  repository: string
  /** Null while it is not known yet: then the bytes count as new. */
  digest: string | null
  /** Done before the refusal, so that what came so far does not stay. */
  onRefusal?: () => Promise<void>
}

/**
 * Refuses early what would not fit. What finally counts is the transaction that adds a link or a manifest: it counts in
 * the repository's usage and never lets it pass the quota. Here requests under way are counted besides, in memory, so
 * that many at once do not fill the disk with what would be refused at the end. Invariants:
 *
 * - What the repository holds already is never refused, and costs nothing of the quota of all together if any has it.
 * - Bytes of a running request are reserved as they are announced or come, and given back when it ends.
 * - Without a quota nothing is counted and the request is read as it is.
 */
export interface Quota {
  readonly limits: Limits
  /** Runs `work`, which adds so many bytes. Throws `quota-exceeded` before that. */
  reserve<T>(wish: Wish & { sizeBytes: () => Promise<number> }, work: () => Promise<T>): Promise<T>
  /**
   * Runs `work` on the request's body. Throws `quota-exceeded` at once where its Content-Length says too much, else as
   * soon as too much has come. `heldBytes`: what the upload has already.
   */
  receive<T>(
    wish: Wish & { heldBytes: number; request: IncomingMessage },
    work: (source: Readable) => Promise<T>,
  ): Promise<T>
}

/** One quota and what counts against it. */
interface Account {
  repository: string | null
  usedBytes: number
  quotaBytes: number
}

export function createQuota({ store, limits }: { store: Store; limits: Limits }): Quota {
  /** By repository; '' for all together. */
  const reserved = new Map<string, number>()

  /** The quotas that hold for this; none where it adds nothing. */
  async function accountsOf({ repository, digest }: Wish): Promise<Account[]> {
    const accounts: Account[] = []
    const own = await findUsage(store, repository)
    const quotaBytes = own?.data.quotaBytes ?? null
    if (quotaBytes === null && limits.quotaBytes === null) return []
    if (digest !== null && (await hasAlready(repository, digest))) return []
    if (quotaBytes !== null) accounts.push({ repository, usedBytes: own?.status.usedBytes ?? 0, quotaBytes })
    if (limits.quotaBytes !== null && (digest === null || !(await isHeld(store, digest)))) {
      const usedBytes = (await findUsage(store, null))?.status.usedBytes ?? 0
      accounts.push({ repository: null, usedBytes, quotaBytes: limits.quotaBytes })
    }
    return accounts
  }

  async function hasAlready(repository: string, digest: string): Promise<boolean> {
    if ((await findLink(store, repository, digest)) !== undefined) return true
    return (await findManifest(store, repository, digest)) !== undefined
  }

  function book(accounts: readonly Account[]) {
    let bookedBytes = 0
    const add = (sizeBytes: number) => {
      bookedBytes += sizeBytes
      for (const { repository } of accounts) {
        const key = repository ?? ''
        const total = (reserved.get(key) ?? 0) + sizeBytes
        if (total === 0) reserved.delete(key)
        else reserved.set(key, total)
      }
    }
    return {
      /** Takes so many bytes more, or says which quota is in the way and takes none. */
      take(sizeBytes: number): QuotaPassed | undefined {
        for (const { repository, usedBytes, quotaBytes } of accounts) {
          const takenBytes = reserved.get(repository ?? '') ?? 0
          if (sizeBytes > 0 && usedBytes + takenBytes + sizeBytes > quotaBytes) {
            return { repository, usedBytes, quotaBytes, addedBytes: bookedBytes + sizeBytes }
          }
        }
        add(sizeBytes)
        return undefined
      },
      giveBack: () => add(-bookedBytes),
    }
  }

  async function within<T>(
    { onRefusal }: Wish,
    accounts: readonly Account[],
    work: (take: (sizeBytes: number) => void) => Promise<T>,
  ): Promise<T> {
    const booking = book(accounts)
    let refused = false
    try {
      return await work((sizeBytes) => {
        const passed = booking.take(sizeBytes)
        refused = passed !== undefined
        if (passed !== undefined) throw quotaError(passed)
      })
    } catch (error) {
      if (refused) await onRefusal?.()
      throw error
    } finally {
      booking.giveBack()
    }
  }

  return {
    limits,
    async reserve(wish, work) {
      const accounts = await accountsOf(wish)
      if (accounts.length === 0) return work()
      return within(wish, accounts, async (take) => {
        take(await wish.sizeBytes())
        return work()
      })
    },
    async receive(wish, work) {
      const { request, heldBytes } = wish
      const accounts = await accountsOf(wish)
      if (accounts.length === 0) return work(request)
      return within(wish, accounts, async (take) => {
        const announced = request.headers['content-length']
        take(heldBytes + Number(announced ?? 0))
        return work(announced === undefined ? counted(request, take) : request)
      })
    },
  }
}

/** The body, which fails where `take` does; the request itself stays open, so that it can be answered. */
function counted(request: IncomingMessage, take: (sizeBytes: number) => void): Readable {
  const through = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      try {
        take(chunk.length)
        done(null, chunk)
      } catch (error) {
        done(error instanceof Error ? error : new Error(String(error)))
      }
    },
  })
  // It may fail before anybody reads it; who then does is told, because the stream remembers its error.
  through.on('error', () => request.unpipe(through))
  finished(request, { writable: false }, (error) => {
    if (error) through.destroy(error)
  })
  return request.pipe(through)
}

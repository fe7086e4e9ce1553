import { join } from 'node:path'
import { FreeholdError } from '@freehold/contracts/lean'
import type { Clock } from '@freehold/reconcile'
import { link, mkdir, readFile, rename, rm, stat, writeFile } from '../builtin.ts'
import { type Log, sentenceOf } from '../log.ts'
import { fieldsOf, listOf, numberOf, parseJson, textOf } from '../parse.ts'

/**
 * Update locks: while `updates.lock` exists in a service's lock folder the Supervisor neither replaces nor stops its
 * application (https://docs.balena.io/learn/deploy/release-strategy/update-locking/). What always holds:
 *
 * 1. The file is made exclusively: there is one holder. The Supervisor takes the same file while it applies an update.
 * 2. Several owners share the file through the agent; it goes when the last of them releases it or its lease ends.
 * 3. Who holds it and for how long stands in the file, so an agent that was restarted goes on where it was; a lease
 *    then begins anew, since the clock of a device proves nothing.
 * 4. A file that the agent did not make is never touched.
 */
export interface UpdateLocks {
  /** Takes or renews. Throws `conflict` where another program, such as the Supervisor itself, holds the lock. */
  take(owner: string, leaseMs: number): Promise<void>
  /** False: this owner held none. */
  release(owner: string): Promise<boolean>
  owners(): string[]
  /** Resolves when this owner holds none any more; at once where it holds none. */
  ended(owner: string): Promise<void>
  /** Takes over what an agent before this one left behind. */
  adopt(): Promise<void>
  /**
   * Waits for what is under way. Leased locks stay in the file: whoever took one still relies on it, and the next agent
   * adopts it.
   */
  stop(): Promise<void>
}

export const leaseLimitsMs = { shortest: 1_000, longest: 60 * 60_000 }
const mostOwners = 32
const retryMs = 30_000
const mark = 'freehold-device-agent'
/** The one that the Supervisor's documentation names now, and the one it named before and still heeds. */
const lockNames = { ours: 'updates.lock', older: 'resin-updates.lock' }

export function createUpdateLocks(options: { directory: string; clock: Clock; log: Log }): UpdateLocks {
  const { directory, clock, log } = options
  const path = join(directory, lockNames.ours)
  const held = new Map<string, Lease>()
  let queue: Promise<unknown> = Promise.resolve()

  /** One change of the file at a time. */
  const exclusively = <Value>(change: () => Promise<Value>): Promise<Value> => {
    const changed = queue.then(change)
    queue = changed.catch(() => undefined)
    return changed
  }
  const contentOf = (owners: [string, { leaseMs: number }][]) =>
    JSON.stringify({ by: mark, owners: owners.map(([owner, { leaseMs }]) => ({ owner, leaseMs })) })

  /** What is in the file, where it is one of ours. */
  const readOurs = async () => {
    const content = fieldsOf(parseJson(await readFile(path, 'utf8').catch(() => '')))
    return content.by === mark ? content : null
  }
  /** Written beside and put in place whole, so that a power cut leaves no lock that nobody knows. */
  const write = async (owners: [string, { leaseMs: number }][]) => {
    const draft = join(directory, `.${lockNames.ours}.${process.pid}`)
    await mkdir(directory, { recursive: true })
    await writeFile(draft, contentOf(owners), { mode: 0o644 })
    try {
      if (held.size > 0 && (await readOurs())) await rename(draft, path)
      else await link(draft, path)
    } finally {
      await rm(draft, { force: true })
    }
  }
  const hold = (owner: string, leaseMs: number) => {
    const before = held.get(owner)
    before?.cancel()
    const cancel = clock.after(leaseMs, () => void expire(owner))
    held.set(owner, { ...(before ?? endingOf()), leaseMs, cancel })
  }

  const take = (owner: string, leaseMs: number) =>
    exclusively(async () => {
      if (!held.has(owner) && held.size >= mostOwners) {
        throw new FreeholdError('too-many-requests', `${mostOwners} owners hold update locks already; release some.`)
      }
      const owners = new Map<string, { leaseMs: number }>(held).set(owner, { leaseMs })
      try {
        if (held.size === 0 && (await exists(join(directory, lockNames.older)))) throw heldByAnother()
        await write([...owners])
      } catch (error) {
        throw (error as NodeJS.ErrnoException).code === 'EEXIST' ? heldByAnother() : error
      }
      hold(owner, leaseMs)
    })

  const release = (owner: string) =>
    exclusively(async () => {
      const lock = held.get(owner)
      if (!lock) return false
      const others = [...held].filter(([name]) => name !== owner)
      if (others.length > 0) await write(others)
      else if (await readOurs()) await rm(path)
      lock.cancel()
      held.delete(owner)
      lock.end()
      return true
    })

  const expire = async (owner: string) => {
    log.warn('The lease of an update lock ended before it was released.', { owner })
    try {
      await release(owner)
    } catch (error) {
      log.error('An update lock could not be released; it is tried again.', { owner, reason: sentenceOf(error) })
      if (held.has(owner)) hold(owner, retryMs)
    }
  }

  return {
    take,
    release,
    owners: () => [...held.keys()],
    ended: async (owner) => held.get(owner)?.ended,
    adopt: () =>
      exclusively(async () => {
        const left = await readOurs()
        if (!left) return
        for (const { owner, leaseMs } of listOf(left.owners, mostOwners, ownerOf)) {
          if (owner !== null) hold(owner, leaseMs)
        }
        if (held.size === 0) await rm(path, { force: true })
      }),
    stop: async () => {
      for (const lease of held.values()) lease.cancel()
      await queue
    },
  }
}

interface Lease {
  leaseMs: number
  cancel: () => void
  ended: Promise<void>
  end: () => void
}

function endingOf(): Pick<Lease, 'ended' | 'end'> {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { ended: promise, end: resolve }
}

function heldByAnother(): FreeholdError {
  return new FreeholdError(
    'conflict',
    'Another program holds the update lock; while an update is being applied that is the Supervisor itself. Try again later.',
  )
}

function ownerOf(value: unknown): { owner: string | null; leaseMs: number } {
  const { owner, leaseMs } = fieldsOf(value)
  const wanted = numberOf(leaseMs) ?? leaseLimitsMs.shortest
  return {
    owner: textOf(owner, 64),
    leaseMs: Math.min(leaseLimitsMs.longest, Math.max(leaseLimitsMs.shortest, wanted)),
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}

import { type SessionResource, sessionKind } from '@freehold/contracts'
import { type Actor, pagesOf, type Store } from '@freehold/store'
import { pruneEnrolments } from '../clusters/index.ts'

const actor: Actor = { type: 'system', id: 'pruning', name: 'pruning' }
const batch = 200

/** Drops what has served its time: sessions, JUMPCODEs, and log entries older than `logKeptMs`. */
export async function prune(
  store: Store,
  options: { now: Date; logKeptMs: number; signal: AbortSignal },
): Promise<void> {
  const { now, signal } = options
  await pruneSessions(store, { now, signal })
  await pruneEnrolments(store, { now })
  const upTo = await lastVersionBefore(store, new Date(now.getTime() - options.logKeptMs).toISOString())
  if (upTo > 0 && !signal.aborted) await store.pruneLog(upTo)
}

/** Page by page: there may be very many, and other writes get their turn between two pages. */
async function pruneSessions(store: Store, { now, signal }: { now: Date; signal: AbortSignal }): Promise<void> {
  const isExpired = (session: SessionResource): boolean => Date.parse(session.data.expiresAt) < now.getTime()
  for await (const page of pagesOf(store, sessionKind, { limit: batch })) {
    if (signal.aborted) return
    const expired = page.filter(isExpired)
    if (expired.length === 0) continue
    await store.transaction(actor, async (transaction) => {
      for (const { id } of expired) {
        const session = await transaction.get(sessionKind, id)
        if (session !== undefined && isExpired(session)) await transaction.delete(sessionKind, id)
      }
    })
  }
}

/** The version of the newest log entry older than `at`, found by halving; 0 where there is none. */
async function lastVersionBefore(store: Store, at: string): Promise<number> {
  const isOlder = async (version: number): Promise<boolean> => {
    const [entry] = await store.audit({ before: version + 1, limit: 1 })
    return entry === undefined || entry.at < at
  }
  let low = 0
  let high = await store.version()
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    if (await isOlder(middle)) low = middle
    else high = middle - 1
  }
  const [entry] = await store.audit({ before: low + 1, limit: 1 })
  return entry?.version ?? 0
}

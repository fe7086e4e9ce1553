import { releaseRolloutKind } from '@freehold/contracts'
import type { Store } from '@freehold/store'
import { type ChunkFact, chunkSize, createMembers, type Members } from './members.ts'
import { type Cut, membersHash } from './plan.ts'

/** What a rollout must remember besides its members and its status. */
export interface Head {
  /** Members of each phase. */
  sizes: readonly number[]
  /** The releases members had before; null: none. Members say theirs by its index. */
  previous: (string | null)[]
  /** The attempt that members which failed were last given. */
  attempt: number
  /** The attempt in which it stopped; 0: none. */
  stoppedAttempt: number
  /** How long the open phase was watched since it reached its threshold. */
  watchedMs: number
  /** Whether devices that joined the channel meanwhile were given the release, after it succeeded. */
  hasToldLatecomers: boolean
}

export interface Kept {
  head: Head
  members: Members
}

/** A rollout that was just cut. */
export function newlyKept(cut: Cut): Kept {
  const head = { sizes: cut.sizes, previous: [], attempt: 1, stoppedAttempt: 0, watchedMs: 0, hasToldLatecomers: false }
  return { head, members: createMembers(cut) }
}

/** Writes who the members are, once. Durable when it resolves. */
export async function keepMembership(store: Store, id: string, { head, members }: Kept): Promise<void> {
  for (let from = 0; from < members.size; from += chunkSize) {
    const ids = members.deviceIds.slice(from, from + chunkSize)
    store.facts.set(releaseRolloutKind, id, `ids-${from / chunkSize}`, ids.map(shortOf).join(''))
  }
  store.facts.set(releaseRolloutKind, id, 'head', head)
  await store.facts.flush()
}

/** Hands what changed to the facts, which are written soon; `store.facts.flush` makes it durable. */
export function keepChanges(store: Store, id: string, { head, members }: Kept): void {
  for (const { chunk, fact } of members.takeDirty()) store.facts.set(releaseRolloutKind, id, `states-${chunk}`, fact)
  store.facts.set(releaseRolloutKind, id, 'head', head)
}

/** Reads a rollout's members as they were last written; undefined where they never were, all of them. */
export async function readKept(
  store: Store,
  rollout: { id: string; data: { memberCount: number; membersHash: string } },
): Promise<Kept | undefined> {
  const facts = await store.facts.get(releaseRolloutKind, rollout.id)
  const head = facts.head as Head | undefined
  if (head === undefined) return undefined
  const chunks = Math.ceil(rollout.data.memberCount / chunkSize)
  const deviceIds: string[] = []
  for (let chunk = 0; chunk < chunks; chunk++) {
    const ids = facts[`ids-${chunk}`]
    if (typeof ids !== 'string') return undefined
    for (let at = 0; at < ids.length; at += 32) deviceIds.push(idOf(ids.slice(at, at + 32)))
  }
  if (membersHash(deviceIds) !== rollout.data.membersHash) {
    throw new Error(`The members of rollout ${rollout.id} are not those it began with: its records are damaged.`)
  }
  const members = createMembers({ deviceIds, sizes: [...head.sizes] })
  for (let chunk = 0; chunk < chunks; chunk++) {
    const fact = facts[`states-${chunk}`] as ChunkFact | undefined
    if (fact !== undefined) members.restore(chunk, fact)
  }
  return { head, members }
}

function shortOf(id: string): string {
  return id.replaceAll('-', '')
}

function idOf(short: string): string {
  return [short.slice(0, 8), short.slice(8, 12), short.slice(12, 16), short.slice(16, 20), short.slice(20)].join('-')
}

import {
  channelKind,
  deviceGroupKind,
  deviceKind,
  FreeholdError,
  isOpenRollout,
  type ReleaseRollout,
  releaseKind,
  type releaseRolloutInput,
  releaseRolloutKind,
} from '@freehold/contracts'
import type { Actor, Reads, Store, Transaction } from '@freehold/store'
import type { z } from 'zod'
import type { Caller, Handlers } from '../http/handler.ts'
import { getResource, listResources } from '../http/resources.ts'
import type { Engine } from './engine.ts'
import type { MembersOf } from './followers.ts'
import { type Kept, keepMembership, newlyKept, readKept } from './keeping.ts'
import { emptyCounts } from './kind.ts'
import { hasFailures, type Live } from './live.ts'
import type { Members } from './members.ts'
import { checkPhases, cutPhases, membersHash, phasesOf } from './plan.ts'

type Input = z.output<typeof releaseRolloutInput>
type Change = (rollout: ReleaseRollout, live: Live | undefined) => ReleaseRollout['data']

/** Handlers of the noun. Whoever changes a rollout is answered after the first thing that follows from it was done. */
export function createReleaseRolloutHandlers(options: {
  store: Store
  engine: Engine
  membersOf: MembersOf
  wake: () => void
  now: () => number
}): Handlers<'releaseRollouts'> {
  const { store, engine, membersOf, wake, now } = options
  const readMembers = createMemberReader(store, engine)

  const change = (input: { id: string; caller: Caller; change: Change }): Promise<ReleaseRollout> =>
    engine.inTurn(async () => {
      const live = engine.lives.get(input.id)
      await store.transaction(input.caller.actor, async (transaction) => {
        const rollout = await getResource(transaction, releaseRolloutKind, input.id)
        return transaction.update(releaseRolloutKind, input.id, { data: input.change(rollout, live) })
      })
      if (live !== undefined) await engine.tryStep(live)
      wake()
      return getResource(store, releaseRolloutKind, input.id)
    })

  return {
    list: ({ query }) => listResources(store, releaseRolloutKind, query),
    get: ({ params }) => getResource(store, releaseRolloutKind, params.id),
    async preview({ body: { data } }) {
      await checkInput(store, data)
      const members = await membersOf(data.channelId)
      const { sizes } = cutPhases({ rolloutId: data.releaseId, members, phases: phasesOf(data) })
      return { memberCount: members.length, phases: sizes }
    },
    create: ({ body: { data }, caller }) =>
      engine.inTurn(async () => {
        const id = await begin({ data, actor: caller.actor, parts: { store, engine, membersOf, now } })
        wake()
        return getResource(store, releaseRolloutKind, id)
      }),
    async members({ params, query }) {
      const rollout = await getResource(store, releaseRolloutKind, params.id)
      return pageOfMembers(store, await readMembers(rollout), query)
    },
    pause: ({ params, caller }) =>
      change({ id: params.id, caller, change: (rollout) => ({ ...openDataOf(rollout), paused: true }) }),
    resume: ({ params, caller }) => change({ id: params.id, caller, change: resume }),
    approve: ({ params, caller }) => change({ id: params.id, caller, change: approve }),
    retry: ({ params, caller }) => change({ id: params.id, caller, change: retry }),
    abort: ({ params, body, caller }) =>
      change({
        id: params.id,
        caller,
        change: (rollout) => {
          const data = openDataOf(rollout)
          if (data.aborted !== null) throw new FreeholdError('conflict', 'This rollout is being aborted already.')
          return { ...data, aborted: body.devices }
        },
      }),
  }
}

/**
 * Freezes who is a member, writes that down, and only then lets the rollout begin and ends the one before. Answers its id.
 */
async function begin(input: {
  data: Input
  actor: Actor
  parts: { store: Store; engine: Engine; membersOf: MembersOf; now: () => number }
}): Promise<string> {
  const { data, actor } = input
  const { store, engine, membersOf, now } = input.parts
  await checkInput(store, data)
  const followers = await membersOf(data.channelId)
  const { id, version } = await store.transaction(actor, async (transaction) => {
    const channel = await checkInput(transaction, data)
    await checkNew(transaction, data)
    return transaction.create(releaseRolloutKind, {
      data: {
        ...data,
        memberCount: followers.length,
        membersHash: membersHash(followers.map(({ deviceId }) => deviceId)),
        previousReleaseId: channel.status.releaseId,
        paused: false,
        aborted: null,
        approvedPhases: 0,
        attempt: 1,
      },
    })
  })
  let kept: Kept
  try {
    kept = newlyKept(cutPhases({ rolloutId: id, members: followers, phases: phasesOf(data) }))
    await keepMembership(store, id, kept)
  } catch (error) {
    await store.transaction(actor, (transaction) => transaction.delete(releaseRolloutKind, id))
    throw error
  }
  const rollout = await store.transaction(actor, async (transaction) => {
    await supersede(transaction, { channelId: data.channelId, by: id })
    const channel = await getResource(transaction, channelKind, data.channelId)
    await transaction.setStatus(channelKind, channel.id, { ...channel.status, rolloutId: id })
    return transaction.setStatus(releaseRolloutKind, id, firstStatus(kept, now()), { expectedVersion: version })
  })
  await engine.tryStep(await engine.attach(rollout, kept))
  return id
}

function firstStatus({ members }: Kept, nowMs: number): ReleaseRollout['status'] {
  return {
    state: 'running',
    message: 'It begins.',
    phase: 0,
    phases: members.sizes.map((size, phase) => ({
      members: size,
      counts: members.counts[phase] ?? emptyCounts(),
      openedAt: null,
      reachedAt: null,
    })),
    counts: { ...emptyCounts(), waiting: members.size },
    startedAt: new Date(nowMs).toISOString(),
    finishedAt: null,
  }
}

async function checkInput(reads: Reads, data: Input) {
  checkPhases(data.phases)
  const channel = await getResource(reads, channelKind, data.channelId)
  const release = await getResource(reads, releaseKind, data.releaseId)
  for (const { groupId } of data.phases) {
    if (groupId !== undefined) await getResource(reads, deviceGroupKind, groupId)
  }
  if (release.data.type !== channel.data.type) {
    throw new FreeholdError(
      'conflict',
      `The channel ${channel.data.name} is for ${channel.data.type} releases, this is one of type ${release.data.type}. Choose another channel or release.`,
    )
  }
  if (release.status.state === 'unsigned') {
    throw new FreeholdError(
      'conflict',
      'The release is not signed yet, so that no device would take it. Sign it first.',
    )
  }
  if (release.status.state === 'withdrawn') {
    throw new FreeholdError('conflict', 'The release was withdrawn, so that no device would take it. Choose another.')
  }
  return channel
}

/** The same release again is a retry, not another rollout; unless the last one left devices with something else. */
async function checkNew(transaction: Transaction, data: Input): Promise<void> {
  const { channelId, releaseId } = data
  const { items } = await transaction.list(releaseRolloutKind, { where: { channelId }, order: 'changed', limit: 1 })
  const [newest] = items
  if (newest?.data.releaseId !== releaseId) return
  if (isOpenRollout(newest.status)) {
    throw new FreeholdError(
      'conflict',
      `A rollout of this release to the channel is under way (${newest.id}). Retry it, or abort it first.`,
    )
  }
  if (newest.status.state === 'succeeded') {
    throw new FreeholdError(
      'conflict',
      `The channel carries this release already (rollout ${newest.id}). To let devices that failed try again, retry that one.`,
    )
  }
}

/** Ends what is open in the channel. It is finished once those that had not begun were given back what they had. */
async function supersede(transaction: Transaction, input: { channelId: string; by: string }) {
  const open = await transaction.all(releaseRolloutKind, { where: { channelId: input.channelId, open: 'yes' } })
  for (const { id, status } of open) {
    if (id === input.by) continue
    const message =
      'A newer rollout of the channel began. Who has begun with this release keeps it until their phase there.'
    await transaction.setStatus(releaseRolloutKind, id, {
      ...status,
      state: 'superseded',
      message,
      finishedAt: null,
    })
  }
}

function openDataOf({ data, status }: ReleaseRollout): ReleaseRollout['data'] {
  if (isOpenRollout(status)) return data
  throw new FreeholdError('conflict', `This rollout is over (${status.state}). Create another one.`)
}

const resume: Change = (rollout) => {
  const data = openDataOf(rollout)
  if (!data.paused) throw new FreeholdError('conflict', 'This rollout is not paused.')
  return { ...data, paused: false }
}

const approve: Change = (rollout, live) => {
  const data = openDataOf(rollout)
  const next = rollout.status.phases.filter(({ openedAt }) => openedAt !== null).length
  const isAsked = live !== undefined && next < rollout.status.phases.length && next >= data.approvedPhases
  if (!isAsked || rollout.status.state !== 'waiting-for-approval') {
    throw new FreeholdError('conflict', `No phase of this rollout waits for approval: it is ${rollout.status.state}.`)
  }
  return { ...data, approvedPhases: next + 1 }
}

const retry: Change = (rollout, live) => {
  const { data, status } = rollout
  if (live === undefined || data.aborted !== null || live.isWithdrawn) {
    const why = live?.isWithdrawn === true ? 'its release was withdrawn' : status.state
    throw new FreeholdError('conflict', `This rollout cannot be retried (${why}). Create another one.`)
  }
  if (!hasFailures(live) && status.state !== 'stopped') {
    throw new FreeholdError('conflict', 'No device of this rollout failed: there is nothing to retry.')
  }
  return { ...data, attempt: data.attempt + 1 }
}

/** Members of rollouts under way come from memory; of those that are over the last one read is kept. */
function createMemberReader(store: Store, engine: Engine): (rollout: ReleaseRollout) => Promise<Members | null> {
  let last: { id: string; members: Members } | undefined
  return async (rollout) => {
    const live = engine.lives.get(rollout.id)
    if (live !== undefined) return live.members
    if (last?.id === rollout.id) return last.members
    const kept = await readKept(store, rollout)
    if (kept === undefined) return null
    if (!isOpenRollout(rollout.status)) last = { id: rollout.id, members: kept.members }
    return kept.members
  }
}

async function pageOfMembers(
  store: Store,
  members: Members | null,
  query: { limit: number; cursor?: string | undefined; state?: string | undefined },
) {
  const { limit, cursor, state } = query
  if (cursor !== undefined && !/^\d{1,9}$/.test(cursor)) throw new FreeholdError('invalid-cursor')
  if (members === null) return { items: [], nextCursor: null }
  const indexes: number[] = []
  let index = cursor === undefined ? 0 : Number(cursor)
  for (; index < members.size && indexes.length < limit; index++) {
    if (state === undefined || members.stateOf(index) === state) indexes.push(index)
  }
  const items = await Promise.all(
    indexes.map(async (each) => {
      const member = members.at(each)
      const device = await store.get(deviceKind, member.deviceId)
      return { ...member, name: device?.data.name ?? member.deviceId }
    }),
  )
  return { items, nextCursor: index < members.size ? String(index) : null }
}

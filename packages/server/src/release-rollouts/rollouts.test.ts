import {
  channelKind,
  deviceGroupInput,
  deviceGroupKind,
  deviceKind,
  type ReleaseRollout,
  releaseKind,
  releaseRolloutInput,
  releaseRolloutKind,
} from '@freehold/contracts'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { membersHash } from './plan.ts'
import { type Bed, createBed } from './rollouts.testing.ts'

const ada = { type: 'user', id: 'ada', name: 'ada' } as const
let bed: Bed
let old: string
let next: string
beforeEach(async () => {
  bed = await createBed()
  old = await bed.release('1.0.0')
  next = await bed.release('2.0.0')
})
afterEach(() => bed.close())

/** Brings the first release to everyone, as every fleet once did. */
async function settledFleet(count: number, labels?: (index: number) => Record<string, string>): Promise<string[]> {
  const devices = await bed.devices(count, labels)
  await bed.create({ releaseId: old })
  for (const id of devices) bed.report(id, 'succeeded')
  await bed.run()
  expect(bed.holders(devices, old)).toHaveLength(count)
  return devices
}

async function channel() {
  return (await bed.store.get(channelKind, bed.channelId))?.status
}

const reportAll = (ids: readonly string[], state: string) => {
  for (const id of ids) bed.report(id, state)
}

describe('a rollout', () => {
  it('without phases is for everyone at once, and gives the channel its release when it succeeded', async () => {
    const devices = await bed.devices(10)
    const begun = await bed.create({ releaseId: old })
    expect(begun.status).toMatchObject({ state: 'running', counts: { waiting: 10 } })
    expect(await channel()).toMatchObject({ releaseId: null, rolloutId: begun.id })
    expect(bed.holders(devices, old)).toHaveLength(10)
    reportAll(devices.slice(0, 8), 'succeeded')
    await bed.run()
    expect((await bed.read(begun.id)).status.state).toBe('running')
    reportAll(devices.slice(8, 9), 'succeeded')
    await bed.run()
    expect((await bed.read(begun.id)).status).toMatchObject({
      state: 'succeeded',
      counts: { succeeded: 9, waiting: 1 },
    })
    expect(await channel()).toMatchObject({ releaseId: old, rolloutId: null })
  })

  it('where 3 % fail stops at its threshold of 2 %, and the rest keep the old', async () => {
    const devices = await settledFleet(1000)
    const { id } = await bed.create({
      releaseId: next,
      phases: [{ percent: 10, errorPercent: 2 }, { errorPercent: 2 }],
    })
    const canaries = bed.holders(devices, next)
    expect(canaries).toHaveLength(100)
    reportAll(canaries.slice(0, 2), 'failed')
    reportAll(canaries.slice(3, 50), 'succeeded')
    await bed.run()
    expect((await bed.read(id)).status.state).toBe('running')
    bed.report(canaries[2] ?? '', 'rolled-back', { message: 'The till did not answer.' })
    reportAll(canaries.slice(50), 'succeeded')
    await bed.run()
    const { status } = await bed.read(id)
    expect(status).toMatchObject({ state: 'stopped', counts: { succeeded: 97, failed: 2, 'rolled-back': 1 } })
    expect(status.message).toMatch(/3 of 100 devices failed in phase 1, more than 2 %/)
    await bed.run()
    expect(bed.holders(devices, next)).toEqual(canaries)
    expect(bed.holders(devices, old)).toHaveLength(900)
    expect(bed.engine.settingsOf(id)?.held).toBe(true)
    expect(await bed.call('members', { id, query: { limit: 10, state: 'rolled-back' } })).toMatchObject({
      items: [{ deviceId: canaries[2], phase: 0, message: 'The till did not answer.' }],
      nextCursor: null,
    })
  })

  it('opens phase after phase by percentage, soak and approval', async () => {
    const devices = await settledFleet(40)
    const { id } = await bed.create({
      releaseId: next,
      phases: [{ percent: 5, soakMinutes: 60 }, { percent: 25, approval: true }, {}],
    })
    const held = () => bed.holders(devices, next)
    expect(held()).toHaveLength(2)
    reportAll(held(), 'succeeded')
    await bed.run()
    expect((await bed.read(id)).status.state).toBe('soaking')
    for (let minute = 0; minute < 59; minute++) {
      bed.pass(60_000)
      await bed.engine.run()
    }
    expect((await bed.read(id)).status.state).toBe('soaking')
    bed.pass(60_000)
    await bed.run()
    expect((await bed.read(id)).status.state).toBe('waiting-for-approval')
    expect(held()).toHaveLength(2)
    expect(await bed.call('approve', { id })).toMatchObject({ status: { state: 'running', phase: 1 } })
    expect(held()).toHaveLength(12)
    reportAll(held(), 'succeeded')
    await bed.run()
    expect(held()).toHaveLength(40)
    reportAll(held(), 'succeeded')
    await bed.run()
    expect((await bed.read(id)).status).toMatchObject({ state: 'succeeded', phase: 2, counts: { succeeded: 40 } })
  })

  it('believes no clock that is set forward or back while it watches a phase', async () => {
    await settledFleet(10)
    const { id } = await bed.create({ releaseId: next, phases: [{ count: 1, soakMinutes: 10 }, {}] })
    reportAll(
      (await bed.membersOf(bed.channelId)).map(({ deviceId }) => deviceId),
      'succeeded',
    )
    await bed.run()
    bed.time.nowMs += 365 * 86_400_000
    await bed.run()
    bed.time.nowMs -= 2 * 365 * 86_400_000
    await bed.run()
    expect((await bed.read(id)).status).toMatchObject({ state: 'soaking', phase: 0 })
    for (let minute = 0; minute < 10; minute++) {
      bed.pass(60_000)
      await bed.engine.run()
    }
    expect((await bed.read(id)).status.phase).toBe(1)
  })

  it('opens nothing and holds its devices while it is paused, and goes on when resumed', async () => {
    const devices = await settledFleet(20)
    const { id } = await bed.create({ releaseId: next, phases: [{ count: 5 }, {}] })
    const first = bed.holders(devices, next)
    bed.reconsidered.length = 0
    expect(await bed.call('pause', { id })).toMatchObject({ status: { state: 'paused' } })
    expect(bed.engine.settingsOf(id)?.held).toBe(true)
    expect(bed.reconsidered.toSorted()).toEqual(first.toSorted())
    reportAll(first, 'succeeded')
    await bed.run()
    expect((await bed.read(id)).status).toMatchObject({ state: 'paused', counts: { succeeded: 5 } })
    expect(bed.holders(devices, next)).toHaveLength(5)
    await bed.call('resume', { id })
    expect(bed.engine.settingsOf(id)?.held).toBe(false)
    expect(bed.holders(devices, next)).toHaveLength(20)
  })

  it('lets those that failed try once more with a new attempt, and goes on', async () => {
    const devices = await settledFleet(10)
    const { id } = await bed.create({ releaseId: next, phases: [{ count: 4 }, {}] })
    const first = bed.holders(devices, next)
    const failing = first[0] ?? ''
    const attempt = bed.assignments.of(failing)?.attempt ?? 0
    bed.report(failing, 'failed')
    await bed.run()
    expect((await bed.read(id)).status.state).toBe('stopped')
    expect(await bed.call('retry', { id })).toMatchObject({ data: { attempt: 2 }, status: { state: 'running' } })
    expect(bed.assignments.of(failing)).toMatchObject({ releaseId: next, rolloutId: id, attempt: attempt + 1 })
    bed.report(failing, 'failed', { attempt })
    await bed.run()
    expect((await bed.read(id)).status.counts.failed).toBe(0)
    reportAll(first, 'succeeded')
    await bed.run()
    expect(bed.holders(devices, next)).toHaveLength(10)
    await expect(bed.call('retry', { id })).rejects.toThrow(/nothing to retry/)
  })

  it('aborted with keep leaves its release to those that began, and gives the others back what they had', async () => {
    const devices = await settledFleet(10)
    const { id } = await bed.create({ releaseId: next, phases: [{ count: 8, errorPercent: 100 }, {}] })
    const first = bed.holders(devices, next)
    const [silent = '', staged = '', ...begun] = first
    const attempt = bed.assignments.of(silent)?.attempt ?? 0
    bed.report(staged, 'staged')
    const begunStates = ['downloading', 'applying', 'soaking', 'succeeded', 'failed', 'rolled-back']
    for (const [index, device] of begun.entries()) bed.report(device, begunStates[index] ?? '')
    expect(await bed.call('abort', { id, body: { devices: 'keep' } })).toMatchObject({ status: { state: 'aborted' } })
    expect(bed.holders(devices, next).toSorted()).toEqual(begun.toSorted())
    expect(bed.assignments.of(silent)).toMatchObject({ releaseId: old, rolloutId: null, attempt: attempt + 1 })
    expect(bed.assignments.of(staged)).toMatchObject({ releaseId: old, rolloutId: null })
    expect(bed.engine.settingsOf(id)?.held).toBe(false)
    await bed.run()
    expect(await channel()).toMatchObject({ releaseId: old, rolloutId: null })
    await expect(bed.call('resume', { id })).rejects.toThrow(/is over/)
  })

  it('aborted with keep gives back what they had to those that would only try again, or left before they began', async () => {
    const devices = await settledFleet(4)
    const { id } = await bed.create({ releaseId: next, phases: [{ errorPercent: 100 }] })
    const [again = '', gone = '', goneRunning = '', goneLater = ''] = devices
    bed.report(again, 'failed')
    bed.report(goneRunning, 'downloading')
    await bed.run()
    for (const device of [gone, goneRunning, goneLater]) await bed.changeDevice(device, { pinned: old })
    await bed.run()
    bed.report(goneLater, 'downloading')
    await bed.run()
    await bed.call('retry', { id })
    await bed.restart({ kill: false })
    await bed.call('abort', { id, body: { devices: 'keep' } })
    expect(bed.holders(devices, next).toSorted()).toEqual([goneRunning, goneLater].toSorted())
    expect(bed.holders(devices, old).toSorted()).toEqual([again, gone].toSorted())
  })

  it('takes what a device had before an open rollout that it left unbegun for what it had', async () => {
    const devices = await settledFleet(3)
    const first = await bed.create({ releaseId: next })
    const [moved = '', begun = ''] = devices
    bed.report(begun, 'downloading')
    const beta = await bed.store.transaction(ada, async (transaction) => {
      const created = await transaction.create(channelKind, { data: { name: 'beta', type: 'app', description: '' } })
      const data = { name: 'beta', selector: { channel: 'beta' }, appChannelId: created.id }
      await transaction.create(deviceGroupKind, { data: deviceGroupInput.parse(data) })
      return created
    })
    for (const device of [moved, begun]) await bed.changeDevice(device, { channel: 'beta' })
    await bed.run()
    const other = await bed.release('3.0.0')
    const data = releaseRolloutInput.parse({ channelId: beta.id, releaseId: other })
    const second = (await bed.call('create', { body: { data } })) as ReleaseRollout
    expect(bed.holders(devices, other).toSorted()).toEqual([moved, begun].toSorted())
    await bed.call('abort', { id: first.id, body: { devices: 'keep' } })
    await bed.call('abort', { id: second.id, body: { devices: 'revert' } })
    await bed.run()
    expect(bed.holders(devices, next)).toEqual([begun])
    expect(bed.assignments.of(moved)?.releaseId).toBe(old)
  })

  it('that was paused holds nobody any more once it is aborted', async () => {
    const devices = await settledFleet(2)
    const { id } = await bed.create({ releaseId: next })
    reportAll(devices, 'downloading')
    await bed.run()
    await bed.call('pause', { id })
    expect(bed.engine.settingsOf(id)?.held).toBe(true)
    await bed.call('abort', { id, body: { devices: 'keep' } })
    expect(bed.engine.settingsOf(id)?.held).toBe(false)
    expect(bed.holders(devices, next)).toHaveLength(2)
  })

  it('aborted with revert skips who had a release that was withdrawn meanwhile, and says so', async () => {
    const devices = await settledFleet(4)
    const odd = await bed.release('1.1.0')
    const [begun = '', waiting = '', ...others] = devices
    await bed.assignments.assign(
      [begun, waiting].map((deviceId) => ({ deviceId, type: 'app', releaseId: odd, rolloutId: null, attempt: 7 })),
    )
    const { id } = await bed.create({ releaseId: next })
    reportAll([begun, ...others], 'succeeded')
    bed.report(others[0] ?? '', 'downloading')
    await bed.run()
    expect(bed.engine.revertingTo(odd)?.id).toBe(id)
    expect(bed.engine.revertingTo(next)).toBeUndefined()
    await bed.store.transaction(ada, (transaction) =>
      transaction.setStatus(releaseKind, odd, { state: 'withdrawn', message: '', target: null }),
    )
    expect(await bed.call('abort', { id, body: { devices: 'revert' } })).toMatchObject({
      status: { state: 'aborted', message: expect.stringMatching(/Except 1 that had a release which was withdrawn/) },
    })
    expect(bed.holders(devices, next)).toEqual([begun])
    expect(bed.holders(devices, odd)).toEqual([waiting])
    expect(bed.holders(devices, old)).toEqual(others)
    expect(bed.engine.revertingTo(odd)).toBeUndefined()
  })

  it('aborted with revert gives each member back what it had, also where that differs', async () => {
    const devices = await settledFleet(1500)
    const odd = await bed.release('1.1.0')
    await bed.assignments.assign(
      devices.slice(0, 500).map((deviceId) => ({ deviceId, type: 'app', releaseId: odd, rolloutId: null, attempt: 7 })),
    )
    await bed.assignments.assign(
      devices
        .slice(500, 510)
        .map((deviceId) => ({ deviceId, type: 'app', releaseId: null, rolloutId: null, attempt: 2 })),
    )
    const { id } = await bed.create({ releaseId: next })
    expect(bed.holders(devices, next)).toHaveLength(1500)
    const before = bed.assignments.of(devices[0] ?? '')?.attempt ?? 0
    await bed.call('abort', { id, body: { devices: 'revert' } })
    await bed.run()
    expect((await bed.read(id)).status.state).toBe('aborted')
    for (const [index, device] of devices.entries()) {
      expect(bed.assignments.of(device)?.releaseId).toBe(index < 500 ? odd : index < 510 ? null : old)
    }
    expect(bed.assignments.of(devices[0] ?? '')?.attempt).toBe(before + 1)
  })

  it('aborted with revert sends back who left with its release too, but not who has another by now', async () => {
    const devices = await settledFleet(5)
    const { id } = await bed.create({ releaseId: next })
    const [pinned = '', moved = ''] = devices
    const other = await bed.release('1.5.0')
    await bed.changeDevice(pinned, { pinned: old })
    await bed.changeDevice(moved, { channel: 'beta' })
    await bed.assignments.assign([{ deviceId: moved, type: 'app', releaseId: other, rolloutId: null, attempt: 9 }])
    await bed.run()
    expect((await bed.read(id)).status.counts).toMatchObject({ left: 2 })
    await bed.call('abort', { id, body: { devices: 'revert' } })
    await bed.run()
    expect((await bed.read(id)).status.state).toBe('aborted')
    expect(bed.holders(devices, next)).toEqual([])
    expect(bed.holders(devices, other)).toEqual([moved])
  })

  it('is superseded by a newer one of its channel, whose members go on from what they have begun with', async () => {
    const devices = await settledFleet(10)
    const first = await bed.create({ releaseId: next, phases: [{ count: 6 }, {}] })
    const assigned = bed.holders(devices, next)
    const begun = assigned.slice(0, 4)
    reportAll(begun, 'downloading')
    await bed.run()
    const fix = await bed.release('2.0.1')
    const from = bed.assignments.log.length
    const second = await bed.create({ releaseId: fix, phases: [{ count: 5 }, {}] })
    const { status } = await bed.read(first.id)
    expect(status).toMatchObject({ state: 'superseded', finishedAt: expect.any(String) })
    expect(bed.engine.settingsOf(first.id)?.held).toBe(false)
    const changes = bed.assignments.log.slice(from)
    expect(changes.map(({ releaseId }) => releaseId)).toEqual([old, old, fix, fix, fix, fix, fix])
    expect(bed.holders(devices, fix)).toHaveLength(5)
    await bed.run()
    expect(bed.holders(devices, next).length + bed.holders(devices, old).length).toBe(5)
    await bed.call('abort', { id: second.id, body: { devices: 'revert' } })
    await bed.run()
    expect(bed.holders(devices, fix)).toHaveLength(0)
    expect(bed.holders(devices, next).toSorted()).toEqual(begun.toSorted())
  })

  it('counts in no threshold who was deleted, revoked, pinned or moved, and never takes them back', async () => {
    const devices = await settledFleet(14)
    const { id } = await bed.create({ releaseId: next, phases: [{ successPercent: 100, errorPercent: 0 }] })
    const [gone = '', revoked = '', pinned = '', moved = '', ...others] = devices
    bed.report(pinned, 'failed')
    await bed.store.transaction(ada, async (transaction) => {
      await transaction.delete(deviceKind, gone)
    })
    await bed.changeDevice(revoked, { access: 'revoked' })
    await bed.changeDevice(pinned, { pinned: old })
    await bed.changeDevice(moved, { channel: 'beta' })
    await bed.run()
    expect((await bed.read(id)).status).toMatchObject({ state: 'running', counts: { left: 4, failed: 0, waiting: 10 } })
    await bed.changeDevice(moved, { channel: 'stable' })
    bed.report(moved, 'failed')
    reportAll(others, 'succeeded')
    await bed.run()
    expect((await bed.read(id)).status).toMatchObject({ state: 'succeeded', counts: { left: 4, succeeded: 10 } })
    expect((await bed.read(id)).data.membersHash).toBe(membersHash(devices))
  })

  it('loses the members of a group that follows another channel from now on', async () => {
    await settledFleet(8, (index) => (index < 3 ? { group: 'canary' } : {}))
    const { id } = await bed.create({ releaseId: next })
    await bed.store.transaction(ada, async (transaction) => {
      const group = await transaction.get(deviceGroupKind, bed.canaryId)
      if (group === undefined) throw new Error('There is no such group.')
      await transaction.update(deviceGroupKind, group.id, { data: { ...group.data, appChannelId: null } })
    })
    expect(bed.engine.isMember((await bed.membersOf(bed.channelId))[0]?.deviceId ?? '', bed.channelId)).toBe(true)
    await bed.run()
    expect((await bed.read(id)).status.counts).toMatchObject({ left: 3, waiting: 5 })
  })

  it('stops where every member left, so that those who join do not get a release that nobody has shown to work', async () => {
    const devices = await settledFleet(4)
    const { id } = await bed.create({ releaseId: next, phases: [{ count: 1 }, {}] })
    for (const device of devices) await bed.changeDevice(device, { channel: 'beta' })
    await bed.run()
    expect((await bed.read(id)).status).toMatchObject({ state: 'stopped', counts: { left: 4 } })
    expect(await channel()).toMatchObject({ releaseId: old })
  })

  it('opens no phase after one that every member left, unless an operator says so', async () => {
    const devices = await settledFleet(6, (index) => (index < 2 ? { group: 'canary' } : {}))
    const phases = [{ groupId: bed.canaryId, soakMinutes: 10 }, {}]
    const { id } = await bed.create({ releaseId: next, phases })
    const canaries = bed.holders(devices, next)
    expect(canaries).toHaveLength(2)
    bed.report(canaries[0] ?? '', 'succeeded')
    for (const device of canaries) await bed.changeDevice(device, { access: 'revoked' })
    await bed.run()
    expect((await bed.read(id)).status).toMatchObject({
      state: 'waiting-for-approval',
      message: expect.stringMatching(/Every device of phase 1 has left/),
      counts: { left: 2, waiting: 4 },
    })
    await bed.restart({ kill: true })
    await bed.run()
    expect(bed.holders(devices, next)).toHaveLength(2)
    expect(await bed.call('approve', { id })).toMatchObject({ status: { state: 'running', phase: 1 } })
    expect(bed.holders(devices, next)).toHaveLength(6)
  })

  it('passes a phase that never had members, as small fleets have them', async () => {
    const devices = await settledFleet(2)
    await bed.create({ releaseId: next, phases: [{ groupId: bed.canaryId }, { count: 1 }, {}] })
    expect(bed.holders(devices, next)).toHaveLength(1)
  })

  it('counts a device as failed that succeeded and broke later, as long as the rollout is open', async () => {
    const devices = await settledFleet(10)
    const phases = [{ count: 4, soakMinutes: 10, errorPercent: 30, successPercent: 75 }, {}]
    const { id } = await bed.create({ releaseId: next, phases })
    const canaries = bed.holders(devices, next)
    reportAll(canaries, 'succeeded')
    await bed.run()
    expect((await bed.read(id)).status.state).toBe('soaking')
    bed.report(canaries[0] ?? '', 'rolled-back')
    await bed.run()
    expect((await bed.read(id)).status).toMatchObject({ state: 'soaking', counts: { succeeded: 3, 'rolled-back': 1 } })
    bed.report(canaries[1] ?? '', 'failed')
    await bed.run()
    expect((await bed.read(id)).status).toMatchObject({ state: 'stopped', counts: { succeeded: 2, failed: 1 } })
    expect(bed.holders(devices, next)).toEqual(canaries)
  })

  it('watches a phase anew that lost its successes while it was watched', async () => {
    const devices = await settledFleet(10)
    const { id } = await bed.create({
      releaseId: next,
      phases: [{ count: 2, soakMinutes: 2, errorPercent: 100, successPercent: 100 }, {}],
    })
    const canaries = bed.holders(devices, next)
    reportAll(canaries, 'succeeded')
    await bed.run()
    bed.pass(60_000)
    bed.report(canaries[0] ?? '', 'failed')
    await bed.run()
    expect((await bed.read(id)).status).toMatchObject({ state: 'running', phases: [{ reachedAt: null }, {}] })
    reportAll(canaries, 'succeeded')
    await bed.run()
    bed.pass(90_000)
    await bed.run()
    expect((await bed.read(id)).status).toMatchObject({ state: 'soaking', phase: 0 })
  })

  it('that succeeded does not count any more what breaks on a device that had succeeded', async () => {
    const devices = await settledFleet(10)
    const { id } = await bed.create({ releaseId: next })
    reportAll(devices, 'succeeded')
    await bed.run()
    bed.report(devices[0] ?? '', 'downloading')
    await bed.run()
    bed.report(devices[0] ?? '', 'rolled-back')
    await bed.run()
    expect((await bed.read(id)).status).toMatchObject({ state: 'succeeded', counts: { succeeded: 10 } })
    await expect(bed.call('retry', { id })).rejects.toThrow(/nothing to retry/)
  })

  it('stops when its release is withdrawn', async () => {
    await settledFleet(5)
    const { id } = await bed.create({ releaseId: next, phases: [{ count: 1 }, {}] })
    await bed.store.transaction(ada, (transaction) =>
      transaction.setStatus(releaseKind, next, { state: 'withdrawn', message: '', target: null }),
    )
    await bed.run()
    expect((await bed.read(id)).status).toMatchObject({ state: 'stopped', message: expect.stringMatching(/withdrawn/) })
    await expect(bed.call('retry', { id })).rejects.toThrow(/withdrawn/)
  })

  it('gives its release to devices that joined meanwhile only once it succeeded', async () => {
    const devices = await settledFleet(10)
    const { id } = await bed.create({ releaseId: next, phases: [{ count: 2 }, {}] })
    const [late = ''] = await bed.devices(1)
    reportAll(bed.holders(devices, next), 'succeeded')
    await bed.run()
    expect(bed.assignments.of(late)).toBeUndefined()
    reportAll(devices, 'succeeded')
    await bed.run()
    expect((await bed.read(id)).data.memberCount).toBe(10)
    expect(bed.assignments.of(late)).toMatchObject({ releaseId: next, rolloutId: null })
  })

  it('that succeeded still hears those that come late, and lets them try again', async () => {
    const devices = await settledFleet(10)
    const { id } = await bed.create({ releaseId: next })
    reportAll(devices.slice(0, 9), 'succeeded')
    await bed.run()
    bed.report(devices[9] ?? '', 'failed')
    await bed.run()
    expect((await bed.read(id)).status).toMatchObject({ state: 'succeeded', counts: { succeeded: 9, failed: 1 } })
    await bed.restart({ kill: true })
    bed.report(devices[9] ?? '', 'failed')
    await bed.run()
    await bed.call('retry', { id })
    reportAll(devices, 'succeeded')
    await bed.run()
    expect((await bed.read(id)).status).toMatchObject({ state: 'succeeded', counts: { succeeded: 10, failed: 0 } })
  })
})

describe('a retry', () => {
  it('is nothing for a device that follows another channel by now', async () => {
    const devices = await settledFleet(10)
    const { id } = await bed.create({ releaseId: next })
    const [moved = '', ...others] = devices
    reportAll(others, 'succeeded')
    await bed.run()
    bed.report(moved, 'failed')
    await bed.run()
    expect((await bed.read(id)).status).toMatchObject({ state: 'succeeded', counts: { failed: 1 } })
    await bed.changeDevice(moved, { channel: 'beta' })
    await bed.assignments.assign([{ deviceId: moved, type: 'app', releaseId: old, rolloutId: null, attempt: 9 }])
    await bed.call('retry', { id })
    await bed.run()
    expect(bed.holders(devices, old)).toEqual([moved])
    expect((await bed.read(id)).status.counts).toMatchObject({ left: 1, succeeded: 9 })
  })
})

describe('a rollout that cannot be', () => {
  const refused = (data: Parameters<Bed['create']>[0]) => expect(bed.create(data)).rejects

  it('is refused with what to do', async () => {
    await settledFleet(4)
    await refused({ releaseId: await bed.release('3.0.0', 'unsigned') }).toThrow(/not signed yet/)
    await refused({ releaseId: await bed.release('3.0.1', 'withdrawn') }).toThrow(/withdrawn/)
    await refused({ releaseId: await bed.release('3.0.2', 'signed', 'host') }).toThrow(/for app releases/)
    await refused({ releaseId: old }).toThrow(/carries this release already/)
    await refused({ releaseId: next, phases: [{ percent: 60 }, { percent: 60 }, {}] }).toThrow(/120 %/)
    await refused({ releaseId: next, phases: [{ groupId: bed.canaryId }] }).toThrow(/Add a last phase without a group/)
    await refused({ releaseId: next, phases: [{ groupId: old }, {}] }).toMatchObject({ code: 'not-found' })
    await bed.create({ releaseId: next })
    await refused({ releaseId: next }).toThrow(/under way/)
    expect((await bed.store.all(releaseRolloutKind)).length).toBe(2)
  })

  it('may go back to the release of the channel while devices may have another', async () => {
    const devices = await settledFleet(4)
    await bed.create({ releaseId: next })
    await bed.create({ releaseId: old })
    expect(bed.holders(devices, old)).toHaveLength(4)
  })

  it('succeeds at once where no device follows the channel, and says so', async () => {
    const rollout = await bed.create({ releaseId: old, phases: [{ percent: 10, approval: true }, {}] })
    expect(rollout.status).toMatchObject({ state: 'succeeded', message: expect.stringMatching(/No device follows/) })
    expect(await channel()).toMatchObject({ releaseId: old, rolloutId: null })
  })

  it('shows beforehand how many devices its phases would have, and begins nothing', async () => {
    const devices = await bed.devices(33, (index) => (index < 5 ? { group: 'canary' } : {}))
    const body = {
      data: { channelId: bed.channelId, releaseId: next, phases: [{ groupId: bed.canaryId }, { percent: 10 }, {}] },
    }
    expect(await bed.call('preview', { body })).toEqual({ memberCount: 33, phases: [5, 4, 24] })
    expect(bed.holders(devices, next)).toEqual([])
  })
})

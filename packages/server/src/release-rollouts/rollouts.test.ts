import { releaseKind, releaseRolloutKind } from '@freehold/contracts'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
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

describe('a rollout', () => {
  it('without phases is for everyone at once, and gives the channel its release when it succeeded', async () => {
    const devices = await bed.devices(10)
    const begun = await bed.create({ releaseId: old })
    expect(begun.status).toMatchObject({ state: 'running', counts: { waiting: 10 } })
    expect(await bed.channel()).toMatchObject({ releaseId: null, rolloutId: begun.id })
    expect(bed.holders(devices, old)).toHaveLength(10)
    bed.reportAll(devices.slice(0, 8), 'succeeded')
    await bed.run()
    expect((await bed.read(begun.id)).status.state).toBe('running')
    bed.reportAll(devices.slice(8, 9), 'succeeded')
    await bed.run()
    expect((await bed.read(begun.id)).status).toMatchObject({
      state: 'succeeded',
      counts: { succeeded: 9, waiting: 1 },
    })
    expect(await bed.channel()).toMatchObject({ releaseId: old, rolloutId: null })
  })

  it('where 3 % fail stops at its threshold of 2 %, and the rest keep the old', async () => {
    const devices = await bed.settledFleet(old, 1000)
    const { id } = await bed.create({
      releaseId: next,
      phases: [{ percent: 10, errorPercent: 2 }, { errorPercent: 2 }],
    })
    const canaries = bed.holders(devices, next)
    expect(canaries).toHaveLength(100)
    bed.reportAll(canaries.slice(0, 2), 'failed')
    bed.reportAll(canaries.slice(3, 50), 'succeeded')
    await bed.run()
    expect((await bed.read(id)).status.state).toBe('running')
    bed.report(canaries[2] ?? '', 'rolled-back', { message: 'The till did not answer.' })
    bed.reportAll(canaries.slice(50), 'succeeded')
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
    const devices = await bed.settledFleet(old, 40)
    const { id } = await bed.create({
      releaseId: next,
      phases: [{ percent: 5, soakMinutes: 60 }, { percent: 25, approval: true }, {}],
    })
    const held = () => bed.holders(devices, next)
    expect(held()).toHaveLength(2)
    bed.reportAll(held(), 'succeeded')
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
    bed.reportAll(held(), 'succeeded')
    await bed.run()
    expect(held()).toHaveLength(40)
    bed.reportAll(held(), 'succeeded')
    await bed.run()
    expect((await bed.read(id)).status).toMatchObject({ state: 'succeeded', phase: 2, counts: { succeeded: 40 } })
  })

  it('believes no clock that is set forward or back while it watches a phase', async () => {
    await bed.settledFleet(old, 10)
    const { id } = await bed.create({ releaseId: next, phases: [{ count: 1, soakMinutes: 10 }, {}] })
    bed.reportAll(
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
    const devices = await bed.settledFleet(old, 20)
    const { id } = await bed.create({ releaseId: next, phases: [{ count: 5 }, {}] })
    const first = bed.holders(devices, next)
    bed.reconsidered.length = 0
    expect(await bed.call('pause', { id })).toMatchObject({ status: { state: 'paused' } })
    expect(bed.engine.settingsOf(id)?.held).toBe(true)
    expect(bed.reconsidered.toSorted()).toEqual(first.toSorted())
    bed.reportAll(first, 'succeeded')
    await bed.run()
    expect((await bed.read(id)).status).toMatchObject({ state: 'paused', counts: { succeeded: 5 } })
    expect(bed.holders(devices, next)).toHaveLength(5)
    await bed.call('resume', { id })
    expect(bed.engine.settingsOf(id)?.held).toBe(false)
    expect(bed.holders(devices, next)).toHaveLength(20)
  })

  it('lets those that failed try once more with a new attempt, and goes on', async () => {
    const devices = await bed.settledFleet(old, 10)
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
    bed.reportAll(first, 'succeeded')
    await bed.run()
    expect(bed.holders(devices, next)).toHaveLength(10)
    await expect(bed.call('retry', { id })).rejects.toThrow(/nothing to retry/)
  })

  it('counts a device as failed that succeeded and broke later, as long as the rollout is open', async () => {
    const devices = await bed.settledFleet(old, 10)
    const phases = [{ count: 4, soakMinutes: 10, errorPercent: 30, successPercent: 75 }, {}]
    const { id } = await bed.create({ releaseId: next, phases })
    const canaries = bed.holders(devices, next)
    bed.reportAll(canaries, 'succeeded')
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
    const devices = await bed.settledFleet(old, 10)
    const { id } = await bed.create({
      releaseId: next,
      phases: [{ count: 2, soakMinutes: 2, errorPercent: 100, successPercent: 100 }, {}],
    })
    const canaries = bed.holders(devices, next)
    bed.reportAll(canaries, 'succeeded')
    await bed.run()
    bed.pass(60_000)
    bed.report(canaries[0] ?? '', 'failed')
    await bed.run()
    expect((await bed.read(id)).status).toMatchObject({ state: 'running', phases: [{ reachedAt: null }, {}] })
    bed.reportAll(canaries, 'succeeded')
    await bed.run()
    bed.pass(90_000)
    await bed.run()
    expect((await bed.read(id)).status).toMatchObject({ state: 'soaking', phase: 0 })
  })

  it('that succeeded does not count any more what breaks on a device that had succeeded', async () => {
    const devices = await bed.settledFleet(old, 10)
    const { id } = await bed.create({ releaseId: next })
    bed.reportAll(devices, 'succeeded')
    await bed.run()
    bed.report(devices[0] ?? '', 'downloading')
    await bed.run()
    bed.report(devices[0] ?? '', 'rolled-back')
    await bed.run()
    expect((await bed.read(id)).status).toMatchObject({ state: 'succeeded', counts: { succeeded: 10 } })
    await expect(bed.call('retry', { id })).rejects.toThrow(/nothing to retry/)
  })

  it('stops when its release is withdrawn', async () => {
    await bed.settledFleet(old, 5)
    const { id } = await bed.create({ releaseId: next, phases: [{ count: 1 }, {}] })
    await bed.store.transaction(ada, (transaction) =>
      transaction.setStatus(releaseKind, next, { state: 'withdrawn', message: '', target: null }),
    )
    await bed.run()
    expect((await bed.read(id)).status).toMatchObject({ state: 'stopped', message: expect.stringMatching(/withdrawn/) })
    await expect(bed.call('retry', { id })).rejects.toThrow(/withdrawn/)
  })

  it('gives its release to devices that joined meanwhile only once it succeeded', async () => {
    const devices = await bed.settledFleet(old, 10)
    const { id } = await bed.create({ releaseId: next, phases: [{ count: 2 }, {}] })
    const [late = ''] = await bed.devices(1)
    bed.reportAll(bed.holders(devices, next), 'succeeded')
    await bed.run()
    expect(bed.assignments.of(late)).toBeUndefined()
    bed.reportAll(devices, 'succeeded')
    await bed.run()
    expect((await bed.read(id)).data.memberCount).toBe(10)
    expect(bed.assignments.of(late)).toMatchObject({ releaseId: next, rolloutId: null })
  })

  it('that succeeded still hears those that come late, and lets them try again', async () => {
    const devices = await bed.settledFleet(old, 10)
    const { id } = await bed.create({ releaseId: next })
    bed.reportAll(devices.slice(0, 9), 'succeeded')
    await bed.run()
    bed.report(devices[9] ?? '', 'failed')
    await bed.run()
    expect((await bed.read(id)).status).toMatchObject({ state: 'succeeded', counts: { succeeded: 9, failed: 1 } })
    await bed.restart({ kill: true })
    bed.report(devices[9] ?? '', 'failed')
    await bed.run()
    await bed.call('retry', { id })
    bed.reportAll(devices, 'succeeded')
    await bed.run()
    expect((await bed.read(id)).status).toMatchObject({ state: 'succeeded', counts: { succeeded: 10, failed: 0 } })
  })
})

describe('a retry', () => {
  it('is nothing for a device that follows another channel by now', async () => {
    const devices = await bed.settledFleet(old, 10)
    const { id } = await bed.create({ releaseId: next })
    const [moved = '', ...others] = devices
    bed.reportAll(others, 'succeeded')
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
    await bed.settledFleet(old, 4)
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
    const devices = await bed.settledFleet(old, 4)
    await bed.create({ releaseId: next })
    await bed.create({ releaseId: old })
    expect(bed.holders(devices, old)).toHaveLength(4)
  })

  it('succeeds at once where no device follows the channel, and says so', async () => {
    const rollout = await bed.create({ releaseId: old, phases: [{ percent: 10, approval: true }, {}] })
    expect(rollout.status).toMatchObject({ state: 'succeeded', message: expect.stringMatching(/No device follows/) })
    expect(await bed.channel()).toMatchObject({ releaseId: old, rolloutId: null })
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

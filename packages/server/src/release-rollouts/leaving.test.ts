import { deviceGroupKind, deviceKind } from '@freehold/contracts'
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

describe('a rollout whose members leave', () => {
  it('counts in no threshold who was deleted, revoked, pinned or moved, and never takes them back', async () => {
    const devices = await bed.settledFleet(old, 14)
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
    bed.reportAll(others, 'succeeded')
    await bed.run()
    expect((await bed.read(id)).status).toMatchObject({ state: 'succeeded', counts: { left: 4, succeeded: 10 } })
    expect((await bed.read(id)).data.membersHash).toBe(membersHash(devices))
  })

  it('loses the members of a group that follows another channel from now on', async () => {
    await bed.settledFleet(old, 8, (index) => (index < 3 ? { group: 'canary' } : {}))
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
    const devices = await bed.settledFleet(old, 4)
    const { id } = await bed.create({ releaseId: next, phases: [{ count: 1 }, {}] })
    for (const device of devices) await bed.changeDevice(device, { channel: 'beta' })
    await bed.run()
    expect((await bed.read(id)).status).toMatchObject({ state: 'stopped', counts: { left: 4 } })
    expect(await bed.channel()).toMatchObject({ releaseId: old })
  })

  it('opens no phase after one that every member left, unless an operator says so', async () => {
    const devices = await bed.settledFleet(old, 6, (index) => (index < 2 ? { group: 'canary' } : {}))
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
    const devices = await bed.settledFleet(old, 2)
    await bed.create({ releaseId: next, phases: [{ groupId: bed.canaryId }, { count: 1 }, {}] })
    expect(bed.holders(devices, next)).toHaveLength(1)
  })
})

import {
  channelKind,
  deviceGroupInput,
  deviceGroupKind,
  type ReleaseRollout,
  releaseKind,
  releaseRolloutInput,
} from '@freehold/contracts'
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

describe('a rollout that ends early', () => {
  it('aborted with keep leaves its release to those that began, and gives back what they had to the others and who failed', async () => {
    const devices = await bed.settledFleet(old, 10)
    const { id } = await bed.create({ releaseId: next, phases: [{ count: 8, errorPercent: 100 }, {}] })
    const first = bed.holders(devices, next)
    const [silent = '', staged = '', failed = '', rolledBack = '', ...begun] = first
    const attempt = bed.assignments.of(silent)?.attempt ?? 0
    bed.report(staged, 'staged')
    bed.report(failed, 'failed')
    bed.report(rolledBack, 'rolled-back')
    const begunStates = ['downloading', 'applying', 'soaking', 'succeeded']
    for (const [index, device] of begun.entries()) bed.report(device, begunStates[index] ?? '')
    expect(await bed.call('abort', { id, body: { devices: 'keep' } })).toMatchObject({ status: { state: 'aborted' } })
    expect(bed.holders(devices, next).toSorted()).toEqual(begun.toSorted())
    expect(bed.assignments.of(silent)).toMatchObject({ releaseId: old, rolloutId: null, attempt: attempt + 1 })
    for (const device of [staged, failed, rolledBack]) {
      expect(bed.assignments.of(device)).toMatchObject({ releaseId: old, rolloutId: null, attempt: attempt + 1 })
    }
    expect(bed.engine.settingsOf(id)?.held).toBe(false)
    await bed.run()
    expect(await bed.channel()).toMatchObject({ releaseId: old, rolloutId: null })
    await expect(bed.call('resume', { id })).rejects.toThrow(/is over/)
  })

  it('aborted with keep gives back what they had to those that would only try again, or left before they began', async () => {
    const devices = await bed.settledFleet(old, 4)
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

  it('is not tried again by who failed with it, when a later rollout is reverted', async () => {
    const [failed = '', left = '', ran = ''] = await bed.settledFleet(old, 3)
    const first = await bed.create({ releaseId: next, phases: [{ errorPercent: 100 }] })
    bed.report(failed, 'rolled-back')
    bed.reportAll([left, ran], 'downloading')
    await bed.run()
    await bed.changeDevice(left, { channel: 'none' })
    await bed.run()
    bed.report(left, 'failed')
    await bed.run()
    await bed.call('abort', { id: first.id, body: { devices: 'keep' } })
    expect(bed.holders([failed, left, ran], next)).toEqual([ran])
    await bed.changeDevice(left, { channel: 'stable' })
    const second = await bed.create({ releaseId: await bed.release('3.0.0') })
    await bed.run()
    await bed.call('abort', { id: second.id, body: { devices: 'revert' } })
    await bed.run()
    expect(bed.holders([failed, left, ran], next)).toEqual([ran])
    expect(bed.holders([failed, left, ran], old)).toEqual([failed, left])
  })

  it('is not tried again by who failed with it and had something that was withdrawn', async () => {
    const [failed = '', ran = ''] = await bed.settledFleet(old, 2)
    const { id } = await bed.create({ releaseId: next, phases: [{ errorPercent: 100 }] })
    bed.report(failed, 'failed')
    bed.report(ran, 'succeeded')
    await bed.run()
    await bed.store.transaction(ada, (transaction) =>
      transaction.setStatus(releaseKind, old, { state: 'withdrawn', message: '', target: null }),
    )
    await bed.call('abort', { id, body: { devices: 'revert' } })
    await bed.run()
    expect(bed.holders([failed, ran], next)).toEqual([ran])
  })

  it('takes what a device had before an open rollout that it left unbegun for what it had', async () => {
    const devices = await bed.settledFleet(old, 3)
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
    const devices = await bed.settledFleet(old, 2)
    const { id } = await bed.create({ releaseId: next })
    bed.reportAll(devices, 'downloading')
    await bed.run()
    await bed.call('pause', { id })
    expect(bed.engine.settingsOf(id)?.held).toBe(true)
    await bed.call('abort', { id, body: { devices: 'keep' } })
    expect(bed.engine.settingsOf(id)?.held).toBe(false)
    expect(bed.holders(devices, next)).toHaveLength(2)
  })

  it('aborted with revert skips who had a release that was withdrawn meanwhile, and says so', async () => {
    const devices = await bed.settledFleet(old, 4)
    const odd = await bed.release('1.1.0')
    const [begun = '', waiting = '', ...others] = devices
    await bed.assignments.assign(
      [begun, waiting].map((deviceId) => ({ deviceId, type: 'app', releaseId: odd, rolloutId: null, attempt: 7 })),
    )
    const { id } = await bed.create({ releaseId: next })
    bed.reportAll([begun, ...others], 'succeeded')
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
    const devices = await bed.settledFleet(old, 1500)
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
    const devices = await bed.settledFleet(old, 5)
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
    const devices = await bed.settledFleet(old, 10)
    const first = await bed.create({ releaseId: next, phases: [{ count: 6 }, {}] })
    const assigned = bed.holders(devices, next)
    const begun = assigned.slice(0, 4)
    bed.reportAll(begun, 'downloading')
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
})

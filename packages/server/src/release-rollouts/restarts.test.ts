import { channelKind, type ReleaseRollout, releaseRolloutKind } from '@freehold/contracts'
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

describe('members', () => {
  it('come page by page, each once, with their names', async () => {
    const devices = await bed.devices(25)
    const { id } = await bed.create({ releaseId: old, phases: [{ count: 7 }, {}] })
    const seen: { deviceId: string; phase: number; name: string }[] = []
    let cursor: string | null = null
    do {
      const query = { limit: 10, ...(cursor === null ? {} : { cursor }) }
      const page = (await bed.call('members', { id, query })) as { items: typeof seen; nextCursor: string | null }
      seen.push(...page.items)
      cursor = page.nextCursor
    } while (cursor !== null)
    expect(seen.map(({ deviceId }) => deviceId).toSorted()).toEqual(devices.toSorted())
    expect(seen.filter(({ phase }) => phase === 0)).toHaveLength(7)
    expect(seen[0]?.name).toMatch(/^till-/)
    await expect(bed.call('members', { id, query: { limit: 1, cursor: 'x' } })).rejects.toThrow()
  })
})

describe('after a kill', () => {
  it('nothing that was assigned is forgotten, and devices say anew where they stand', async () => {
    const devices = await bed.settledFleet(old, 30)
    const { id } = await bed.create({ releaseId: next, phases: [{ count: 10 }, {}] })
    const first = bed.holders(devices, next)
    bed.reportAll(first.slice(0, 3), 'downloading')
    await bed.run()
    await bed.restart({ kill: true })
    await bed.run()
    expect(bed.holders(devices, next)).toEqual(first)
    bed.reportAll(first, 'succeeded')
    await bed.run()
    expect(bed.holders(devices, next)).toHaveLength(30)
    await bed.call('abort', { id, body: { devices: 'revert' } })
    await bed.run()
    expect(bed.holders(devices, old)).toHaveLength(30)
  })

  it('in the middle of opening a phase it goes on with the same members and the same attempts', async () => {
    const devices = await bed.settledFleet(old, 2500)
    bed.assignments.failAfter(1200)
    const { id } = await bed.create({ releaseId: next })
    expect(bed.holders(devices, next)).toHaveLength(1200)
    bed.assignments.failAfter(Number.POSITIVE_INFINITY)
    await bed.restart({ kill: true })
    await bed.run()
    expect(bed.holders(devices, next)).toHaveLength(2500)
    expect(new Set(devices.map((device) => bed.assignments.of(device)?.attempt))).toEqual(new Set([2]))
    await bed.call('abort', { id, body: { devices: 'revert' } })
    await bed.run()
    expect(bed.holders(devices, old)).toHaveLength(2500)
  })

  it('in the middle of sending devices back it goes on', async () => {
    const devices = await bed.settledFleet(old, 2500)
    const { id } = await bed.create({ releaseId: next })
    await bed.run()
    bed.assignments.failAfter(1500)
    await bed.call('abort', { id, body: { devices: 'revert' } })
    await expect(bed.run()).rejects.toThrow()
    bed.assignments.failAfter(Number.POSITIVE_INFINITY)
    await bed.restart({ kill: true })
    await bed.run()
    expect((await bed.read(id)).status.state).toBe('aborted')
    expect(bed.holders(devices, old)).toHaveLength(2500)
  })

  it('in the middle of giving back what they had to those that had not begun it goes on', async () => {
    const devices = await bed.settledFleet(old, 2500)
    const { id } = await bed.create({ releaseId: next })
    await bed.run()
    bed.reportAll(devices.slice(0, 10), 'downloading')
    await bed.run()
    bed.assignments.failAfter(1500)
    await bed.call('abort', { id, body: { devices: 'keep' } })
    expect((await bed.read(id)).status.state).toBe('stopped')
    expect(bed.engine.settingsOf(id)?.held).toBe(true)
    bed.assignments.failAfter(Number.POSITIVE_INFINITY)
    await bed.restart({ kill: true })
    expect(bed.engine.settingsOf(id)?.held).toBe(true)
    await bed.run()
    expect((await bed.read(id)).status.state).toBe('aborted')
    expect(bed.engine.settingsOf(id)?.held).toBe(false)
    expect(bed.holders(devices, old)).toHaveLength(2490)
  })

  it('in the middle of giving way to a newer rollout it goes on, and that one assigns nothing before', async () => {
    const devices = await bed.settledFleet(old, 2500)
    const first = await bed.create({ releaseId: next })
    await bed.run()
    const fix = await bed.release('2.0.1')
    bed.assignments.failAfter(1500)
    const second = await bed.create({ releaseId: fix })
    await expect(bed.run()).rejects.toThrow()
    expect(bed.holders(devices, fix)).toEqual([])
    expect(bed.engine.settingsOf(first.id)?.held).toBe(true)
    expect((await bed.read(first.id)).status).toMatchObject({ state: 'superseded', finishedAt: null })
    expect(bed.engine.revertingTo(old)?.id).toBe(first.id)
    bed.assignments.failAfter(Number.POSITIVE_INFINITY)
    await bed.restart({ kill: true })
    await bed.run()
    expect((await bed.read(first.id)).status.finishedAt).not.toBeNull()
    expect(bed.engine.settingsOf(first.id)?.held).toBe(false)
    expect(bed.holders(devices, fix)).toHaveLength(2500)
    await bed.call('abort', { id: second.id, body: { devices: 'revert' } })
    await bed.run()
    expect(bed.holders(devices, old)).toHaveLength(2500)
  })

  it('a stopped rollout is stopped still', async () => {
    const devices = await bed.settledFleet(old, 10)
    const { id } = await bed.create({ releaseId: next, phases: [{ count: 4 }, {}] })
    const first = bed.holders(devices, next)
    bed.report(first[0] ?? '', 'failed')
    await bed.run()
    await bed.restart({ kill: true })
    bed.reportAll(first, 'succeeded')
    await bed.run()
    expect((await bed.read(id)).status.state).toBe('stopped')
    expect(bed.holders(devices, next)).toEqual(first)
  })

  it('the time a phase was watched counts on, the time nobody watched does not', async () => {
    const devices = await bed.settledFleet(old, 10)
    const { id } = await bed.create({ releaseId: next, phases: [{ count: 4, soakMinutes: 10 }, {}] })
    bed.reportAll(bed.holders(devices, next), 'succeeded')
    await bed.run()
    for (let minute = 0; minute < 5; minute++) {
      bed.pass(60_000)
      await bed.engine.run()
    }
    await bed.restart({ kill: false })
    bed.time.nowMs += 86_400_000
    await bed.run()
    expect((await bed.read(id)).status.state).toBe('soaking')
    for (let minute = 0; minute < 5; minute++) {
      bed.pass(60_000)
      await bed.engine.run()
    }
    expect((await bed.read(id)).status.phase).toBe(1)
  })

  it('one that had only been written down, and assigned nothing, is ended and says so', async () => {
    const devices = await bed.devices(3)
    const data = (await bed.create({ releaseId: old })) as ReleaseRollout
    await bed.store.transaction(ada, (transaction) =>
      transaction.create(releaseRolloutKind, { data: { ...data.data, releaseId: next } }),
    )
    await bed.restart({ kill: true })
    const [, half] = await bed.store.all(releaseRolloutKind)
    expect(half?.status).toMatchObject({ state: 'aborted', message: expect.stringMatching(/create it again/) })
    expect(bed.holders(devices, next)).toEqual([])
    expect((await bed.store.get(channelKind, bed.channelId))?.status.rolloutId).toBe(data.id)
  })

  it('one that never began does not end the hearing of the one before it', async () => {
    const devices = await bed.devices(10)
    const { id, data } = (await bed.create({ releaseId: old })) as ReleaseRollout
    bed.reportAll(devices.slice(1), 'succeeded')
    await bed.run()
    await bed.store.transaction(ada, (transaction) =>
      transaction.create(releaseRolloutKind, { data: { ...data, releaseId: next } }),
    )
    await bed.restart({ kill: false })
    bed.reportAll(devices, 'succeeded')
    await bed.run()
    expect((await bed.read(id)).status).toMatchObject({ state: 'succeeded', counts: { succeeded: 10 } })
  })
})

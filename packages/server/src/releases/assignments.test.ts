import {
  type Channel,
  channelKind,
  type Device,
  type DeviceGroup,
  deviceGroupInput,
  deviceKind,
  type Release,
  releaseKind,
  releaseRolloutInput,
  releaseRolloutKind,
} from '@freehold/contracts'
import type { Store } from '@freehold/store'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { openEngines } from './engines.testing.ts'
import { actor, createWorld, type TestDevice, type World } from './world.testing.ts'

const { engines, close } = await openEngines('Assignments')
afterAll(close)
const dayMs = 86_400_000
const eventually = (check: () => Promise<void>) => vi.waitFor(check, { timeout: 20_000 })

describe.each(engines)('on %s', (_, open) => {
  let store: Store
  let world: World
  let releases: Release[]
  const release = (index: number) => releases[index] as Release
  beforeAll(async () => {
    store = await open()
    world = await createWorld(store)
    await world.pushed('shop/web', '1')
    releases = []
    for (const version of ['1.0.0', '2.0.0', '3.0.0']) releases.push(await world.makeRelease(version))
  })
  afterAll(async () => {
    await world.close()
    await store.close()
  })

  let count = 0
  /** A channel with a group of its own, and a device in it that was not heard yet. */
  async function place(carried: Release | null, data: object = {}) {
    count += 1
    const site = `site-${count}`
    const channel = await world.makeChannel(site)
    if (carried !== null) await world.carry(channel.id, carried.id)
    const group = await world.call<DeviceGroup>(world.releases.handlers.deviceGroups.create, {
      body: { data: deviceGroupInput.parse({ name: site, selector: { site }, appChannelId: channel.id, ...data }) },
    })
    const device = await world.enrol(`device-${count}`, { site })
    return { channel, group, device, site }
  }
  const update = (device: TestDevice, body: object) =>
    world.call<Device>(world.devices.handlers.devices.update, { params: { id: device.id }, body })
  const resolved = (device: TestDevice) =>
    world.call<{ group: { name: string } | null; app: { releaseId: string; version: string; by: string } | null }>(
      world.devices.handlers.devices.releases,
      { params: { id: device.id } },
    )
  const assigned = async ({ id }: TestDevice) => (await world.releases.assignments.get([id], 'app')).get(id)
  const makeRollout = (channelId: string, releaseId: string) =>
    store.transaction(actor, (transaction) =>
      transaction.create(releaseRolloutKind, {
        data: {
          ...releaseRolloutInput.parse({ channelId, releaseId }),
          memberCount: 1,
          membersHash: '',
          previousReleaseId: null,
          paused: false,
          aborted: null,
          approvedPhases: 0,
          attempt: 1,
        },
      }),
    )

  describe('a device', () => {
    it('that no group selects is told its name and labels, and nothing to sign', async () => {
      const device = await world.enrol('alone')
      expect(await world.hear(device)).toEqual({ isNew: true, assignment: null })
      expect(await resolved(device)).toEqual({ group: null, app: null, host: null })
      expect(await world.hear(device)).toEqual({ isNew: false, assignment: undefined })
    })

    it('that joins a channel gets its release with its first heartbeat, signed for it alone, and written down first', async () => {
      const { device, site } = await place(release(0))
      const { assignment } = await world.hear(device)
      expect(assignment).toMatchObject({
        _type: 'assignment',
        nodeId: device.nodeId,
        host: null,
        actions: [],
        app: {
          releaseId: release(0).id,
          version: '1.0.0',
          target: 'releases/shop/1.0.0/manifest.json',
          sha256: release(0).status.target?.sha256,
          rolloutId: null,
          attempt: 0,
          window: null,
          held: false,
        },
      })
      expect(Date.parse(assignment?.expiresAt ?? '') - Date.parse(assignment?.issuedAt ?? '')).toBe(7 * dayMs)
      expect(await assigned(device)).toMatchObject({ releaseId: release(0).id, rolloutId: null })
      expect(await resolved(device)).toMatchObject({
        group: { name: site },
        app: { releaseId: release(0).id, version: '1.0.0', by: 'channel' },
      })
      // That it was heard is written down a moment later.
      await eventually(async () =>
        expect((await store.all(deviceKind)).filter(({ status }) => status.state !== 'online')).toEqual([]),
      )
      const before = await store.version()
      for (let index = 0; index < 5; index += 1) expect((await world.hear(device)).isNew).toBe(false)
      expect(await store.version()).toBe(before)
    })

    it('that joins again is given a higher attempt, so that what it said before counts for nothing', async () => {
      const { device, site } = await place(release(0))
      const other = await place(release(1))
      await world.hear(device)
      await update(device, { labels: { site: other.site } })
      expect((await world.hear(device)).assignment?.app).toMatchObject({ releaseId: release(1).id, attempt: 1 })
      await update(device, { labels: { site } })
      expect((await world.hear(device)).assignment?.app).toMatchObject({ releaseId: release(0).id, attempt: 2 })
    })

    it('that joined by what the channel had a moment ago still gets what it changed to just then', async () => {
      const { device, channel } = await place(release(0))
      expect((await world.hear(device)).assignment?.app?.version).toBe('1.0.0')
      const { status } = (await store.get(channelKind, channel.id)) as Channel
      const since = new Date(Date.parse(status.since ?? '') + 1).toISOString()
      await store.transaction(actor, (transaction) =>
        transaction.setStatus(channelKind, channel.id, { ...status, releaseId: release(1).id, since }),
      )
      await eventually(async () => expect((await world.hear(device)).assignment?.app?.version).toBe('2.0.0'))
    })

    it('gets what its channel changes to, moves with its labels, and keeps what it has in a group without a channel', async () => {
      const { device, channel } = await place(release(0))
      const other = await place(release(2))
      await world.hear(device)
      await world.carry(channel.id, release(1).id)
      await eventually(async () => expect((await world.hear(device)).assignment?.app?.version).toBe('2.0.0'))
      await update(device, { labels: { site: other.site } })
      expect((await world.hear(device)).assignment?.app?.version).toBe('3.0.0')
      await update(device, { labels: { site: 'nowhere' } })
      expect(await world.hear(device)).toEqual({ isNew: true, assignment: null })
      expect(await assigned(device)).toMatchObject({ releaseId: release(2).id })
    })

    it('runs what its own pin says, else its group’s, and goes back to the channel when they are taken away', async () => {
      const { device, group } = await place(release(0))
      const pinGroup = (pinnedAppReleaseId: string | null) =>
        world.call(world.releases.handlers.deviceGroups.update, {
          params: { id: group.id },
          body: { data: { pinnedAppReleaseId } },
        })
      const version = async () => (await world.hear(device)).assignment?.app?.version
      expect(await version()).toBe('1.0.0')
      await pinGroup(release(1).id)
      expect(await version()).toBe('2.0.0')
      expect(await resolved(device)).toMatchObject({ app: { by: 'group-pin' } })
      await update(device, { data: { pinnedAppReleaseId: release(2).id } })
      expect(await version()).toBe('3.0.0')
      expect(await resolved(device)).toMatchObject({ app: { by: 'device-pin' } })
      await pinGroup(null)
      await update(device, { data: { pinnedAppReleaseId: null } })
      expect(await version()).toBe('1.0.0')
      expect(await resolved(device)).toMatchObject({ app: { by: 'channel' } })
    })

    it('is told nothing of a release that is not signed, or was withdrawn', async () => {
      const unsigned = await world.makeRelease('4.0.0')
      const setState = (state: 'unsigned' | 'signed' | 'withdrawn') =>
        store.transaction(actor, (transaction) =>
          transaction.setStatus(releaseKind, unsigned.id, { ...unsigned.status, state }),
        )
      await setState('unsigned')
      const { device } = await place(unsigned)
      expect((await world.hear(device)).assignment).toBeNull()
      await setState('signed')
      await eventually(async () => expect((await world.hear(device)).assignment?.app?.version).toBe('4.0.0'))
      await setState('withdrawn')
      await eventually(async () => expect((await world.hear(device)).assignment).toBeNull())
    })

    it('gets an assignment with a higher counter each time, above what it says it verified last', async () => {
      const { device } = await place(release(0))
      const first = (await world.hear(device)).assignment?.counter ?? 0
      device.generation = 0
      const second = (await world.hear(device)).assignment?.counter ?? 0
      expect(second).toBeGreaterThan(first)
      device.generation = 0
      const ahead = second + 10 * dayMs
      expect((await world.hear(device, { releases: { counter: ahead } })).assignment?.counter).toBe(ahead + 1)
    })

    it('gets it renewed within three days, long before it expires', async () => {
      const { device } = await place(release(0))
      await world.hear(device)
      world.pass(3 * dayMs)
      expect((await world.hear(device)).assignment?.app?.version).toBe('1.0.0')
      expect((await world.hear(device)).isNew).toBe(false)
    })
  })

  describe('a rollout', () => {
    it('assigns durably, is heard with the next heartbeat, and its terms hold as they are now', async () => {
      const { device, channel } = await place(release(0))
      await world.hear(device)
      const rollout = await makeRollout(channel.id, release(1).id)
      const window = { days: ['mon' as const], from: '01:00', to: '02:00' }
      world.terms.set(rollout.id, { window, soakSeconds: 5, force: true, held: false })
      const change = { deviceId: device.id, type: 'app' as const, releaseId: release(1).id, rolloutId: rollout.id }
      await world.releases.assignments.assign([{ ...change, attempt: 1 }])
      expect(await assigned(device)).toMatchObject({ releaseId: release(1).id, rolloutId: rollout.id, attempt: 1 })
      const told = { releaseId: release(1).id, rolloutId: rollout.id, attempt: 1, window, soakSeconds: 5, force: true }
      expect((await world.hear(device)).assignment?.app).toMatchObject({ ...told, held: false })
      expect(await resolved(device)).toMatchObject({ app: { by: 'rollout' } })
      world.terms.set(rollout.id, { window, soakSeconds: 5, force: true, held: true })
      await world.makeChannel(`wake-${count}`)
      await eventually(async () => expect((await world.hear(device)).assignment?.app?.held).toBe(true))
      await world.releases.assignments.assign([{ ...change, attempt: 2 }])
      expect((await world.hear(device)).assignment?.app?.attempt).toBe(2)
    })

    it('is the only one that decides for its members: who waits for a phase is given nothing by the channel', async () => {
      const { device, channel } = await place(null)
      world.members.add(`${device.id}/${channel.id}`)
      await world.carry(channel.id, release(0).id)
      const stranger = await world.enrol(`stranger-${count}`, { site: `site-${count}` })
      await eventually(async () => expect((await world.hear(stranger)).assignment?.app?.version).toBe('1.0.0'))
      expect((await world.hear(device)).assignment).toBeNull()
      expect(await assigned(device)).toBeUndefined()
      world.members.clear()
    })

    it('that was aborted leaves its release with those who got it, until the channel changes', async () => {
      const { device, channel } = await place(release(0))
      await world.hear(device)
      const rollout = await makeRollout(channel.id, release(1).id)
      const change = { deviceId: device.id, type: 'app' as const, rolloutId: rollout.id, attempt: 1 }
      await world.releases.assignments.assign([{ ...change, releaseId: release(1).id }])
      expect((await world.hear(device)).assignment?.app?.version).toBe('2.0.0')
      await update(device, { labels: { site: `site-${count}`, more: 'labels' } })
      expect((await world.hear(device)).assignment?.app?.version).toBe('2.0.0')
      world.pass(1000)
      await world.carry(channel.id, release(2).id)
      await eventually(async () => expect((await world.hear(device)).assignment?.app?.version).toBe('3.0.0'))
    })

    it('that is taken back leaves each device what it had, and the channel does not interfere', async () => {
      const { device, channel } = await place(release(0))
      await world.hear(device)
      const rollout = await makeRollout(channel.id, release(1).id)
      const change = { deviceId: device.id, type: 'app' as const, attempt: 1 }
      await world.releases.assignments.assign([{ ...change, rolloutId: rollout.id, releaseId: release(1).id }])
      await world.releases.assignments.assign([{ ...change, rolloutId: null, releaseId: release(2).id }])
      expect((await world.hear(device)).assignment?.app?.version).toBe('3.0.0')
      expect(await resolved(device)).toMatchObject({ app: { by: 'channel', version: '3.0.0' } })
    })

    it('hears of a device what it says anew, and nothing twice', async () => {
      const device = await world.enrol(`heard-${count}`)
      const report = (state: string, more: object = {}) => ({
        releases: { app: { releaseId: release(0).id, attempt: 1, state, message: '', ...more }, counter: 5 },
      })
      const heardOf = () => world.heard.filter(({ deviceId }) => deviceId === device.id)
      for (const state of ['staged', 'staged', 'downloading', 'downloading', 'applying']) {
        await world.hear(device, report(state, { downloadProgress: Math.random() }))
      }
      expect(heardOf().map(({ progress }) => progress.state)).toEqual(['staged', 'downloading', 'applying'])
      await world.hear(device, report('failed', { message: 'no space', log: 'line' }))
      expect(heardOf().at(-1)).toMatchObject({
        type: 'app',
        progress: { message: 'no space', log: 'line', attempt: 1 },
      })
      await world.hear(device, { releases: { app: { releaseId: 'not an id', attempt: 1, state: 'failed' } } })
      await world.hear(device, { releases: 7 })
      expect(heardOf()).toHaveLength(4)
    })
  })

  it('two thousand assignments are one writing, and each is there when it is promised', async () => {
    const { channel } = await place(null)
    const rollout = await makeRollout(channel.id, release(1).id)
    const ids: string[] = []
    for (let at = 0; at < 2_000; at += 500) {
      await store.transaction(actor, async (transaction) => {
        const device = await store.list(deviceKind, { limit: 1 })
        const [{ data, status } = { data: undefined, status: undefined }] = device.items
        if (data === undefined || status === undefined) throw new Error('There is a device.')
        for (let index = at; index < at + 500; index += 1) {
          const nodeId = `many-${index}`
          ids.push((await transaction.create(deviceKind, { data: { ...data, nodeId, name: nodeId }, status })).id)
        }
      })
    }
    const version = await store.version()
    await world.releases.assignments.assign(
      ids.map((deviceId) => ({ deviceId, type: 'app', releaseId: release(1).id, rolloutId: rollout.id, attempt: 1 })),
    )
    const found = await world.releases.assignments.get(ids, 'app')
    expect(found.size).toBe(ids.length)
    expect((await world.releases.assignments.get(ids, 'host')).size).toBe(0)
    const changed = new Set((await store.changes(version)).map(({ id }) => id))
    expect(ids.filter((id) => changed.has(id))).toEqual([])
  })
})

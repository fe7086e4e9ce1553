import { type Device, deviceKind, type Release } from '@freehold/contracts'
import type { Store } from '@freehold/store'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { openEngines } from './engines.testing.ts'
import { createWorld, type TestDevice, type World } from './world.testing.ts'

const { engines, close } = await openEngines('Actions and reports')
afterAll(close)
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

  describe('what an operator asks of a device', () => {
    const act = (device: TestDevice, body: object = {}) =>
      world.call<Device>(world.devices.handlers.devices.act, {
        params: { id: device.id },
        body: { kind: 'reboot', force: false, expiresInSeconds: 3600, ...body },
      })

    it('comes with its next heartbeat, signed, and is gone from what it is told once it expired', async () => {
      const device = await world.enrol(`acts`)
      await world.hear(device)
      const { data } = await act(device, { kind: 'update', force: true })
      const { assignment } = await world.hear(device)
      expect(assignment).toMatchObject({ app: null, host: null, actions: data.actions })
      expect(data.actions).toMatchObject([{ kind: 'update', force: true }])
      expect((await world.hear(device)).isNew).toBe(false)
      world.pass(3_600_000)
      expect(await world.hear(device)).toEqual({ isNew: true, assignment: null })
    })

    it('is at most sixteen things at once; what the device has concluded makes room', async () => {
      const device = await world.enrol(`busy`)
      await world.hear(device)
      let last: Device | undefined
      for (let index = 0; index < 16; index += 1) last = await act(device)
      await expect(act(device)).rejects.toMatchObject({
        code: 'conflict',
        message: expect.stringMatching(/16 requests/),
      })
      const done = last?.data.actions[3]?.id
      await world.hear(device, { actions: [{ id: done, outcome: 'done', message: '' }] })
      const { data } = await act(device)
      expect(data.actions).toHaveLength(16)
      expect(data.actions.map(({ id }) => id)).not.toContain(done)
    })

    it('is refused of one that was not let in or was revoked', async () => {
      const device = await world.enrol(`revoked`)
      await world.call(world.devices.handlers.devices.revoke, { params: { id: device.id } })
      await expect(act(device)).rejects.toThrow(/revoked/)
    })
  })

  describe('an update that failed', () => {
    const status = async (device: TestDevice) => (await store.get(deviceKind, device.id))?.status.updateFailure
    const report = (state: string, index: number, more: object = {}) => ({
      releases: {
        app: {
          releaseId: release(index).id,
          version: `${index + 1}.0.0`,
          attempt: 1,
          state,
          message: 'disk full',
          ...more,
        },
      },
    })

    it('stands in the status of the device and in the feed, until one succeeds', async () => {
      const device = await world.enrol(`fails`)
      await world.hear(device, report('applying', 1))
      await world.hear(device, report('rolled-back', 1))
      await eventually(async () =>
        expect(await status(device)).toMatchObject({
          releaseId: release(1).id,
          version: '2.0.0',
          state: 'rolled-back',
          message: 'disk full',
        }),
      )
      const before = await status(device)
      for (let index = 0; index < 3; index += 1) await world.hear(device, report('rolled-back', 1))
      await world.hear(device, report('downloading', 2))
      expect(await status(device)).toEqual(before)
      await world.hear(device, report('succeeded', 2))
      await eventually(async () => expect(await status(device)).toBeNull())
      const events = await store.audit({ kind: 'device', id: device.id })
      const failures = events.map(({ after }) => (after as Device).status.updateFailure?.state ?? null)
      expect(failures.filter((state, index) => state !== failures[index - 1])).toEqual([null, 'rolled-back', null])
    })

    it('makes one entry, however often the device finds other words for it', async () => {
      const device = await world.enrol(`chatty`)
      await world.hear(device, report('failed', 1))
      await eventually(async () => expect(await status(device)).toMatchObject({ message: 'disk full' }))
      const entries = async () => (await store.audit({ kind: 'device', id: device.id })).length
      const before = await entries()
      for (let index = 0; index < 5; index += 1) {
        world.pass(1000)
        await world.hear(device, report('failed', 1, { message: `disk full: ${index} bytes are free` }))
      }
      await world.hear(device, report('succeeded', 1))
      await eventually(async () => expect(await status(device)).toBeNull())
      expect(await entries()).toBe(before + 1)
    })

    it('is told again for a new attempt, and not for a control plane that hears the device for the first time', async () => {
      const device = await world.enrol(`again`)
      await world.hear(device, report('failed', 1))
      await eventually(async () => expect(await status(device)).toMatchObject({ state: 'failed' }))
      const first = await status(device)
      const second = await createWorld(store)
      try {
        await second.hear(device, report('failed', 1))
        await second.hear(device, report('failed', 1))
      } finally {
        await second.close()
      }
      expect(await status(device)).toEqual(first)
      world.pass(1000)
      await world.hear(device, report('failed', 1, { attempt: 2 }))
      await eventually(async () => expect((await status(device))?.at).not.toBe(first?.at))
    })
  })
})

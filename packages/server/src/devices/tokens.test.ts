import {
  deviceCredentialKind,
  deviceKind,
  deviceRegisterRequestSchema,
  FreeholdError,
  joinTokenKind,
} from '@freehold/contracts'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { nodeTokenLifeMs } from './kind.ts'
import { type DeviceWorld, openDeviceWorld, registration } from './world.testing.ts'

const actor = { type: 'user', id: 'ada', name: 'ada' } as const

let world: DeviceWorld
beforeEach(async () => {
  world = await openDeviceWorld()
})
afterEach(() => world.close())

describe('tokens and time', () => {
  it('a join token that expired lets nobody in, and the log of changes says so', async () => {
    const plane = world.controlPlane()
    const joinToken = await world.makeJoinToken()
    world.nowMs += 3600_000
    const { status, answer } = await plane.register(registration('late'), { bearer: joinToken, address: '::1' })
    expect([status, answer]).toMatchObject([403, { reason: 'join-token-expired' }])
    const [token] = await world.store.all(joinTokenKind)
    expect(token?.status.lastRefusal).toMatchObject({ reason: 'join-token-expired', nodeId: 'late' })
  })

  it('refusals without end do not fill the log', async () => {
    const plane = world.controlPlane()
    const joinToken = await world.makeJoinToken()
    world.nowMs += 3600_000
    const before = await world.store.version()
    for (let index = 0; index < 300; index += 1) {
      await plane.register(registration(`node-${index}`), { bearer: joinToken, address: '::1' })
    }
    expect((await world.store.version()) - before).toBe(120)
  })

  it('unknown ones write nothing, and a good one that this process never saw is let in whoever floods beside it', async () => {
    const devices = await world.fleet(world.controlPlane(), 1)
    const joinToken = await world.makeJoinToken()
    const plane = world.controlPlane()
    const before = await world.store.version()
    const guess = async (index: number) =>
      plane.register(registration(`n${index}`), { bearer: `fhd_nobody-${index}`, address: '::1' })
    for (let index = 0; index < 1_000; index += 1) {
      expect((await guess(index)).answer).toMatchObject({ reason: 'join-token-unknown' })
    }
    await expect(guess(0)).rejects.toMatchObject({ code: 'too-many-requests', retryAfterSeconds: 1 })
    expect(await world.store.version()).toBe(before)
    await world.hear(plane, devices)
    const known = await plane.register(registration('device-0'), { bearer: undefined, address: '::1' })
    const fresh = await plane.register(registration('fresh'), { bearer: joinToken, address: '::1' })
    expect([known.answer.state, fresh.answer.state]).toEqual(['accepted', 'accepted'])
    world.nowMs += 100
    expect((await guess(0)).answer).toMatchObject({ reason: 'join-token-unknown' })
  })

  it('a device that registers over and over is sent away, and let in again later', async () => {
    const plane = world.controlPlane()
    const [device] = await world.fleet(plane, 1)
    if (device === undefined) throw new Error('There is no device.')
    const again = () => plane.register(registration(device.nodeId), { bearer: undefined, address: '::1' })
    let accepted = 0
    for (let attempt = 0; attempt < 100; attempt += 1) {
      const isIn = await again().then(
        () => true,
        ({ code }) => code !== 'too-many-requests',
      )
      accepted += isIn ? 1 : 0
    }
    expect(accepted).toBe(11)
    await expect(again()).rejects.toMatchObject({ retryAfterSeconds: 30 })
    world.nowMs += 30_000
    expect((await again()).answer.state).toBe('accepted')
  })

  it('a node token is replaced before it ends, and proves the device even when it has', async () => {
    const plane = world.controlPlane()
    const [device] = await world.fleet(plane, 1)
    if (device === undefined) throw new Error('There is no device.')
    world.nowMs += 0.7 * nodeTokenLifeMs
    const [answer] = await world.hear(plane, [device])
    expect(answer?.nodeToken).toMatch(/^fhn_/)
    world.nowMs += 0.4 * nodeTokenLifeMs
    await expect(world.hear(plane, [device])).rejects.toMatchObject({ code: 'token-expired' })
    const request = deviceRegisterRequestSchema.parse({ nodeId: device.nodeId })
    const again = await plane.register(request, { bearer: device.token, address: '::1' })
    expect(again.answer.state).toBe('accepted')
    const kept = await world.store.all(deviceCredentialKind)
    expect(kept.filter(({ data }) => data.purpose === 'token')).toHaveLength(2)
  })

  it('what another process changes about a device holds here too', async () => {
    const plane = world.controlPlane()
    const [device] = await world.fleet(plane, 1)
    if (device === undefined) throw new Error('There is no device.')
    plane.follower.wake()
    await plane.follower.settled()
    const stored = await world.store.find(deviceKind, 'nodeId', device.nodeId)
    if (stored === undefined) throw new Error('The device is not stored.')
    await world.store.transaction(actor, (t) =>
      t.update(deviceKind, stored.id, { data: { ...stored.data, access: 'revoked' } }),
    )
    plane.follower.wake()
    await plane.follower.settled()
    await expect(world.hear(plane, [device])).rejects.toSatisfy(
      (error) => error instanceof FreeholdError && error.code === 'forbidden',
    )
  })

  it('that is revoked while it is looked up is refused from its next heartbeat on', async () => {
    const [device] = await world.fleet(world.controlPlane(), 1)
    if (device === undefined) throw new Error('There is no device.')
    let isRevoked = false
    const plane = world.controlPlane({
      async whileComputing() {
        if (isRevoked) return
        isRevoked = true
        const stored = await world.store.find(deviceKind, 'nodeId', device.nodeId)
        if (stored === undefined) throw new Error('The device is not stored.')
        await world.store.transaction(actor, (t) =>
          t.update(deviceKind, stored.id, { data: { ...stored.data, access: 'revoked' } }),
        )
        plane.presence.distrust(stored.id)
      },
    })
    await world.hear(plane, [device])
    expect(isRevoked).toBe(true)
    await expect(world.hear(plane, [device])).rejects.toSatisfy(
      (error) => error instanceof FreeholdError && error.code === 'forbidden',
    )
  })
})

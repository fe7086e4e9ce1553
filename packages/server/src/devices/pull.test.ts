import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deviceCredentialKind, deviceData, deviceKind, kinds } from '@freehold/contracts'
import { openSqliteStore, type Store } from '@freehold/store'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { keepSecret, offerToken, useToken } from './credentials.ts'
import { nodeTokenLifeMs } from './kind.ts'
import { createDevicePull, type DevicePull, type PullableImage } from './pull.ts'

const actor = { type: 'user', id: 'ada', name: 'ada' } as const
let directory: string
let store: Store
let nowMs: number
let images: PullableImage[]
let pull: DevicePull
let strangers: string[]

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'freehold-pull-'))
  nowMs = Date.parse('2026-03-01T00:00:00Z')
  store = await openSqliteStore({ directory, kinds: Object.values(kinds), now: () => nowMs })
  images = []
  strangers = []
  pull = createDevicePull({
    store,
    imagesOf: async () => images,
    strangers: { note: (address) => void strangers.push(address) },
    now: () => nowMs,
  })
})
afterEach(async () => {
  await store.close()
  await rm(directory, { recursive: true, force: true })
})

async function makeDevice(nodeId: string, access: 'allowed' | 'waiting' | 'revoked' = 'allowed') {
  const data = deviceData.parse({ name: nodeId, description: '', nodeId, access, readoptUntil: null })
  return store.transaction(actor, async (transaction) => {
    const device = await transaction.create(deviceKind, { data })
    const { nodeToken } = await offerToken(transaction, { deviceId: device.id, now: nowMs })
    return { device, nodeToken }
  })
}
async function puller(nodeToken: string, user = 'device') {
  const found = await verify(user, nodeToken)
  if (found === null) throw new Error('It was refused.')
  return found
}
const verify = (user: string, nodeToken: string) => pull.verify({ user, nodeToken, address: '192.0.2.7' })

describe('a node token lets its device pull', () => {
  it('under any name that begins with device, and under d_ with its own node id', async () => {
    const { device, nodeToken } = await makeDevice('one')
    for (const user of ['device', 'device-7', 'device_one', 'd_one']) {
      expect(await puller(nodeToken, user)).toMatchObject({ deviceId: device.id, nodeId: 'one' })
    }
    expect(await verify('d_two', nodeToken)).toBeNull()
    expect(await verify('d_', nodeToken)).toBeNull()
  })

  it('from its repositories, only what it runs there', async () => {
    const { nodeToken } = await makeDevice('one')
    images = [
      { repository: 'shop/web', digest: 'sha256:1' },
      { repository: 'shop/web', digest: 'sha256:2' },
      { repository: 'shop/db', digest: 'sha256:3' },
    ]
    const found = await puller(nodeToken)
    expect(await found.digestsIn('shop/web')).toEqual(new Set(['sha256:1', 'sha256:2']))
    expect(await found.digestsIn('shop')).toEqual(new Set())
  })

  it('unless nobody has it: that is a guess', async () => {
    await makeDevice('one')
    expect(await verify('device', `fhn_${'x'.repeat(43)}`)).toBeNull()
    const secret = 'a secret of the device'
    const { device } = await makeDevice('two')
    await store.transaction(actor, (transaction) =>
      keepSecret(transaction, { deviceId: device.id, purpose: 'secret', secret }),
    )
    expect(await verify('device', secret)).toBeNull()
    expect(strangers).toEqual(['192.0.2.7', '192.0.2.7'])
  })

  it('until it expires, and both tokens do while they overlap', async () => {
    const { device, nodeToken } = await makeDevice('one')
    const first = await puller(nodeToken)
    nowMs += nodeTokenLifeMs - 1
    const second = await store.transaction(actor, async (transaction) => {
      await useToken(transaction, { deviceId: device.id, credentialId: first.credentialId })
      return offerToken(transaction, { deviceId: device.id, now: nowMs })
    })
    for (const token of [nodeToken, second.nodeToken]) expect((await puller(token)).deviceId).toBe(device.id)
    nowMs += 1
    expect(await verify('device', nodeToken)).toBeNull()
    expect(await pull.again(first)).toBeNull()
    expect((await puller(second.nodeToken)).deviceId).toBe(device.id)
  })

  it('until a newer one is used; pulling is no such use', async () => {
    const { device, nodeToken } = await makeDevice('one')
    const first = await puller(nodeToken)
    await store.transaction(actor, (transaction) =>
      useToken(transaction, { deviceId: device.id, credentialId: first.credentialId }),
    )
    const { nodeToken: next } = await store.transaction(actor, (transaction) =>
      offerToken(transaction, { deviceId: device.id, now: nowMs }),
    )
    const second = await puller(next)
    expect(await pull.again(first)).toMatchObject({ deviceId: device.id })
    await store.transaction(actor, (transaction) =>
      useToken(transaction, { deviceId: device.id, credentialId: second.credentialId }),
    )
    expect(await pull.again(first)).toBeNull()
    expect(await verify('device', nodeToken)).toBeNull()
  })

  it.each(['waiting', 'revoked'] as const)('not while the device is %s, which is no guess', async (access) => {
    const { nodeToken } = await makeDevice('one', access)
    expect(await verify('device', nodeToken)).toBeNull()
    expect(strangers).toEqual([])
  })

  it('not from the moment it is revoked or deleted', async () => {
    const { device, nodeToken } = await makeDevice('one')
    const found = await puller(nodeToken)
    expect(await pull.again(found)).toMatchObject({ deviceId: device.id })
    await store.transaction(actor, (transaction) =>
      transaction.update(deviceKind, device.id, { data: { ...device.data, access: 'revoked' } }),
    )
    expect([await verify('device', nodeToken), await pull.again(found)]).toEqual([null, null])
    await store.transaction(actor, (transaction) => transaction.delete(deviceKind, device.id))
    expect([await verify('device', nodeToken), await pull.again(found)]).toEqual([null, null])
  })

  it('and is looked up again only as what it was: a token, of this device', async () => {
    const [one, two] = [await makeDevice('one'), await makeDevice('two')]
    const found = await puller(one.nodeToken)
    expect(await pull.again({ ...found, deviceId: two.device.id })).toBeNull()
    const deviceId = one.device.id
    await store.transaction(actor, (transaction) =>
      keepSecret(transaction, { deviceId, purpose: 'secret', secret: 's' }),
    )
    const credentials = await store.all(deviceCredentialKind, { where: { deviceId } })
    const secret = credentials.find(({ data }) => data.purpose === 'secret')
    expect(await pull.again({ deviceId, credentialId: secret?.id ?? '' })).toBeNull()
  })
})

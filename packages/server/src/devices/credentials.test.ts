import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Device, deviceKind, kinds } from '@freehold/contracts'
import { openSqliteStore, type Store } from '@freehold/store'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { deviceOfToken, offerToken } from './credentials.ts'

const actor = { type: 'system', id: 'test', name: 'test' } as const
const now = Date.now()
let store: Store
let directory = ''
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'freehold-credentials-'))
  store = await openSqliteStore({ directory, kinds: Object.values(kinds) })
})
afterAll(async () => {
  await store.close()
  await rm(directory, { recursive: true, force: true })
})

const enrol = (access: Device['data']['access']) =>
  store.transaction(actor, async (transaction) => {
    const nodeId = `${access}-device`.padEnd(32, '0')
    const { id } = await transaction.create(deviceKind, {
      data: { nodeId, name: nodeId, access, readoptUntil: null } as Device['data'],
    })
    return { id, token: (await offerToken(transaction, { deviceId: id, now })).nodeToken }
  })

test('a node token is good for devices that are let in, until it expires', async () => {
  const { id, token } = await enrol('allowed')
  expect(await deviceOfToken(store, { token, now })).toEqual({ deviceId: id })
  expect(await deviceOfToken(store, { token: `${token}x`, now })).toBe('unknown')
  expect(await deviceOfToken(store, { token, now: now + 400 * 86_400_000 })).toBe('refused')
})

test.each(['waiting', 'revoked'] as const)('a token of a device that is %s is not', async (access) => {
  const { token } = await enrol(access)
  expect(await deviceOfToken(store, { token, now })).toBe('refused')
})

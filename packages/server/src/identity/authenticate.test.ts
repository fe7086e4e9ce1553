import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FreeholdError, kinds, userKind } from '@freehold/contracts'
import { openSqliteStore, type Store } from '@freehold/store'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { seedToken } from '../http/server.testing.ts'
import { openServerSecret } from '../secrets/index.ts'
import { createIdentityNoun, type IdentityCaller, type IdentityNoun } from './index.ts'
import { startSession } from './sessions.ts'

let directory = ''
let store: Store
let identity: IdentityNoun
const client = { address: '192.0.2.1', userAgent: 'docker' }
const account = { username: 'admin', password: 'correct horse battery' }

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'freehold-identity-'))
  store = await openSqliteStore({ directory, kinds: Object.values(kinds) })
  const secret = await openServerSecret({ appSecret: undefined, dataDirectory: directory })
  identity = createIdentityNoun({ store, secret, secure: false })
  await identity.bootstrap(account)
})
afterEach(async () => {
  await store.close()
  await rm(directory, { recursive: true, force: true })
})

test('a password lets its user in by user name and password', async () => {
  const { identity: who, actor } = await identity.authenticateBasic('admin', account.password, client)
  expect(who).toMatchObject({ subject: 'user', name: 'admin', role: 'admin' })
  expect(actor).toMatchObject({ type: 'user', name: 'admin' })
  await expect(identity.authenticateBasic('admin', 'wrong', client)).rejects.toMatchObject({
    code: 'wrong-credentials',
  })
})

test('a machine token is a password under any name, until it expires', async () => {
  const token = await seedToken(store, 'api')
  expect((await identity.authenticateBasic('whoever', token, client)).identity).toMatchObject({
    subject: 'token',
    role: 'api',
  })
  const expired = await seedToken(store, 'api', { expiresAt: new Date(Date.now() - 1).toISOString() })
  await expect(identity.authenticateBasic('x', expired, client)).rejects.toMatchObject({ code: 'wrong-credentials' })
})

test('a cluster is let in by whoever knows its credentials, and by nothing else', async () => {
  const attempt = (password: string) => identity.authenticateBasic('cluster-1', password, client)
  await expect(attempt('secret')).rejects.toMatchObject({ code: 'wrong-credentials' })
  const caller: IdentityCaller = {
    identity: { subject: 'agent', userId: '1', name: 'cluster-1', role: 'cluster', expiresAt: null },
    actor: { type: 'agent', id: '1', name: 'cluster-1' },
  }
  identity.setClusterCredentials(async (_, password) => (password === 'secret' ? caller : null))
  expect(await attempt('secret')).toBe(caller)
  await expect(attempt('guess')).rejects.toMatchObject({ code: 'wrong-credentials' })
})

test('a device is let in by whoever knows node tokens, under its own names and with nothing else', async () => {
  const nodeToken = `fhn_${'x'.repeat(43)}`
  const attempt = (username: string, password: string) => identity.authenticateBasic(username, password, client)
  await expect(attempt('device', nodeToken)).rejects.toMatchObject({ code: 'wrong-credentials' })
  const caller: IdentityCaller = {
    identity: { subject: 'agent', userId: '1', name: 'one', role: 'cluster', expiresAt: null },
    actor: { type: 'agent', id: '1', name: 'one' },
  }
  const asked: string[] = []
  identity.setDeviceCredentials(async (username) => {
    asked.push(username)
    return username === 'device-lost' ? null : caller
  })
  for (const username of ['device', 'device-1', 'd_one']) expect(await attempt(username, nodeToken)).toBe(caller)
  await expect(attempt('device-lost', nodeToken)).rejects.toMatchObject({ code: 'wrong-credentials' })
  expect(asked).toHaveLength(4)
  for (const [username, password] of [
    ['admin', nodeToken],
    ['device', 'a password of a person'],
    ['device', `${nodeToken} `],
    [`d_${'x'.repeat(129)}`, nodeToken],
  ] as const) {
    await expect(attempt(username, password)).rejects.toMatchObject({ code: 'wrong-credentials' })
  }
  expect(asked).toHaveLength(4)
})

test('devices that fail slow down no person behind the same address', async () => {
  identity.setDeviceCredentials(async () => null)
  for (let tries = 0; tries < 50; tries += 1) {
    const attempt = identity.authenticateBasic('device', `fhn_${'x'.repeat(43)}`, client)
    await expect(attempt).rejects.toMatchObject({ code: 'wrong-credentials' })
  }
  expect(await identity.authenticateBasic('admin', account.password, client)).toMatchObject({
    identity: { name: 'admin' },
  })
})

test('guessing by user name and password is slowed down', async () => {
  for (let attempt = 0; attempt < 5; attempt += 1) {
    await expect(identity.authenticateBasic('admin', 'wrong', client)).rejects.toMatchObject({
      code: 'wrong-credentials',
    })
  }
  await expect(identity.authenticateBasic('admin', 'wrong', client)).rejects.toMatchObject({
    code: 'too-many-requests',
  })
})

test('a second bootstrap changes nothing', async () => {
  expect(await identity.bootstrap({ username: 'other', password: 'another long password' })).toBe(false)
  await expect(identity.authenticateBasic('other', 'another long password', client)).rejects.toMatchObject({
    code: 'wrong-credentials',
  })
})

/** A session two days old, which is due for prolonging, over a store whose writes fail with `failure`. */
async function dueSession(failure: Error) {
  const user = await store.find(userKind, 'name', 'admin')
  if (user === undefined) throw new Error('no administrator')
  const { value, session } = await startSession(store, { user, client, now: Date.now() })
  const failing: Store = { ...store, transaction: () => Promise.reject(failure) }
  const secret = await openServerSecret({ appSecret: undefined, dataDirectory: directory })
  const now = () => Date.now() + 2 * 86_400_000
  const noun = createIdentityNoun({ store: failing, secret, secure: false, now })
  return { session, use: () => noun.authenticate({ headers: { cookie: `freehold_session=${value}` } }) }
}

test.each(['storage-full', 'storage-unwritable', 'unavailable'] as const)(
  'a session that cannot be prolonged (%s) is good until its old end',
  async (code) => {
    const { session, use } = await dueSession(new FreeholdError(code))
    const { caller, setCookie } = await use()
    expect(caller.identity).toMatchObject({ name: 'admin', expiresAt: session.data.expiresAt })
    expect(setCookie).toBeUndefined()
  },
)

test('a session that was ended meanwhile is not let in by failing to prolong it', async () => {
  const { use } = await dueSession(new FreeholdError('token-expired'))
  await expect(use()).rejects.toMatchObject({ code: 'token-expired' })
})

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { kinds, type Node, nodeKind } from '@freehold/contracts'
import { type Actor, openSqliteStore, type Store } from '@freehold/store'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { listProblems } from './problems.ts'

const tester: Actor = { type: 'user', id: 'tester', name: 'tester' }
const clusterId = '01900000-0000-7000-8000-0000000000aa'
let directory: string
let store: Store

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'freehold-problems-'))
  store = await openSqliteStore({ directory, kinds: Object.values(kinds) })
})
afterEach(async () => {
  await store.close()
  await rm(directory, { recursive: true, force: true })
})

async function addNode(name: string, status: Partial<Node['status']>): Promise<void> {
  const data = { clusterId, name, publicKey: name, revoked: false }
  await store.transaction(tester, (transaction) =>
    transaction.create(nodeKind, { data, status: { ...nodeKind.initialStatus, ...status } }),
  )
}

test('nodes that are well are no problem', async () => {
  await addNode('well', { state: 'online', clockSkewMs: 20 })
  await addNode('new', {})
  expect(await listProblems(store, Date.now())).toEqual([])
})

test('a linked node with a wrong clock is named after those that are offline', async () => {
  await addNode('early', { state: 'online', clockSkewMs: 3_600_000 })
  await addNode('late', { state: 'online', clockSkewMs: -60_000 })
  await addNode('gone', { state: 'offline', clockSkewMs: 3_600_000, message: 'Its agent is not connected.' })
  await addNode('revoked', { state: 'revoked', clockSkewMs: 3_600_000 })
  const problems = await listProblems(store, Date.now())
  expect(problems.map(({ severity, name, message }) => [severity, name, message])).toEqual([
    ['error', 'gone', 'Its agent is not connected.'],
    ['warning', 'early', expect.stringContaining('3600 s ahead')],
    ['warning', 'late', expect.stringContaining('60 s behind')],
  ])
})

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  channelKind,
  deviceInput,
  deviceKind,
  kinds,
  type Node,
  nodeKind,
  releaseRolloutKind,
} from '@freehold/contracts'
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

test('devices that could not take a release, and a rollout that stopped, are named once each', async () => {
  const updateFailure = {
    releaseId: clusterId,
    version: '1.0.0',
    state: 'failed',
    message: 'The disk is full.',
    at: '2026-01-01T00:00:00.000Z',
  }
  await store.transaction(tester, async (transaction) => {
    for (const name of ['kitchen', 'hall']) {
      await transaction.create(deviceKind, {
        data: {
          ...deviceInput.parse({ name }),
          nodeId: `node-${name}`,
          access: 'allowed',
          readoptUntil: null,
          actions: [],
        },
        status: { ...deviceKind.initialStatus, state: 'online', updateFailure },
      })
    }
    const channel = await transaction.create(channelKind, {
      data: channelKind.data.parse({ name: 'stable', type: 'app' }),
    })
    await transaction.create(releaseRolloutKind, {
      data: {
        ...{ channelId: channel.id, releaseId: clusterId, phases: [], window: null, soakSeconds: 60, force: false },
        ...{ memberCount: 2, membersHash: '0'.repeat(64), previousReleaseId: null, paused: false, aborted: null },
        ...{ approvedPhases: 0, attempt: 1 },
      },
      status: { ...releaseRolloutKind.initialStatus, state: 'stopped', message: '2 of 2 devices failed.' },
    })
  })
  const problems = await listProblems(store, Date.now())
  expect(problems.map(({ severity, kind, name, message }) => [severity, kind, name, message])).toEqual([
    ['error', 'release-rollout', 'stable', '2 of 2 devices failed.'],
    ['error', 'device', 'update-failed', expect.stringContaining('2 devices could not take a release.')],
  ])
})

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Device, deviceKind, kinds } from '@freehold/contracts'
import { openSqliteStore, type Store } from '@freehold/store'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { completeDevices } from './complete.ts'

const actor = { type: 'user', id: 'ada', name: 'ada' } as const
const { incomplete: _, ...indexesBefore } = deviceKind.indexes
/** The kind as the version before releases had it. */
const kindBefore = { ...deviceKind, indexes: indexesBefore }
let store: Store
let directory = ''
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'freehold-complete-'))
})
afterAll(async () => {
  await store.close()
  await rm(directory, { recursive: true, force: true })
})

test('devices of a version without releases are completed at the start, once', { timeout: 60_000 }, async () => {
  store = await openSqliteStore({ directory, kinds: [kindBefore] })
  const { updateFailure: __, ...status } = deviceKind.initialStatus
  await store.transaction(actor, async (transaction) => {
    for (let index = 0; index < 150; index += 1) {
      const data = { name: `till-${index}`, nodeId: `node-${index}`, access: 'allowed', readoptUntil: null }
      await transaction.create(kindBefore, { data: data as Device['data'], status: status as Device['status'] })
    }
  })
  await store.close()
  store = await openSqliteStore({ directory, kinds: Object.values(kinds) })
  await completeDevices(store)
  const devices = await store.all(deviceKind)
  expect(devices).toHaveLength(150)
  for (const { data, status: now } of devices) {
    expect(data).toMatchObject({ access: 'allowed', pinnedAppReleaseId: null, pinnedHostReleaseId: null, actions: [] })
    expect(now).toEqual(deviceKind.initialStatus)
  }
  const version = await store.version()
  await completeDevices(store)
  expect(await store.version()).toBe(version)
})

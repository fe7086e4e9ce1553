import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { baseImageKind, buildKind, kinds } from '@freehold/contracts'
import { openSqliteStore } from '@freehold/store'
import { expect, onTestFinished, test } from 'vitest'
import { isNeeded } from './needed.ts'

const actor = { type: 'system', id: 'test', name: 'test' } as const
const digest = `sha256:${'a'.repeat(64)}`

async function openStore() {
  const directory = await mkdtemp(join(tmpdir(), 'freehold-needed-'))
  const store = await openSqliteStore({ directory, kinds: Object.values(kinds) })
  onTestFinished(async () => {
    await store.close()
    await rm(directory, { recursive: true, force: true })
  })
  return store
}

test('bytes of a base image are needed until it is deleted', async () => {
  const store = await openStore()
  expect(await isNeeded(store, digest)).toBe(false)
  const { id } = await store.transaction(actor, (transaction) =>
    transaction.create(baseImageKind, {
      data: { name: 'a', description: '', imageKind: 'balena-raw', architecture: 'rpi', url: null, sha256: null },
      status: { state: 'ready', message: '', blob: { digest, sizeBytes: 1 } },
    }),
  )
  expect(await isNeeded(store, digest)).toBe(true)
  await store.transaction(actor, (transaction) => transaction.delete(baseImageKind, id))
  expect(await isNeeded(store, digest)).toBe(false)
})

test('bytes of an image are needed until its build keeps it no longer', async () => {
  const store = await openStore()
  const at = new Date().toISOString()
  const artifact = {
    filename: 'a',
    contentType: 'a/b',
    sizeBytes: 1,
    sha256: 'a'.repeat(64),
    createdAt: at,
    expiresAt: at,
  }
  const data = {
    imageKind: 'balena-raw' as const,
    architecture: 'rpi' as const,
    baseImageId: null,
    ubuntuVersion: '24.04',
    hostname: null,
    sshUser: 'baseos',
    sshPublicKey: null,
    heartbeatIntervalMs: 60_000,
    compression: 'xz' as const,
    deviceLabels: {},
    wifi: null,
    keepForDays: 1,
    joinTokenId: '01a1fe14-38c5-7a50-b691-6fbe27ab3c73',
    sealed: null,
  }
  const status = { ...buildKind.initialStatus, state: 'succeeded' as const }
  const { id } = await store.transaction(actor, (transaction) =>
    transaction.create(buildKind, {
      data,
      status: { ...status, artifact: { ...artifact, location: { store: 'blobs', digest } } },
    }),
  )
  expect(await isNeeded(store, digest)).toBe(true)
  await store.transaction(actor, (transaction) =>
    transaction.setStatus(buildKind, id, { ...status, artifact: { ...artifact, location: null } }),
  )
  expect(await isNeeded(store, digest)).toBe(false)
})

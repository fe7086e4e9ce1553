import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { clusterKind, imageKind, kinds, rolloutKind, type Service, serviceData } from '@freehold/contracts'
import { openSqliteStore, type Store } from '@freehold/store'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { createService, type ServiceRules, updateService } from '../services/index.ts'
import { createRolloutAdvancer } from './advance.ts'
import { abortRollout } from './service.ts'

const actor = { type: 'system', id: 'test', name: 'test' } as const
const rules: ServiceRules = { registryHost: () => 'registry.test', now: () => Date.now() }
const signal = new AbortController().signal
let directory = ''
let store: Store
let reads = 0
let nowMs = Date.now()

beforeEach(async () => {
  nowMs = Date.now()
  directory = await mkdtemp(join(tmpdir(), 'freehold-advance-'))
  store = await openSqliteStore({ directory, kinds: Object.values(kinds) })
})
afterEach(async () => {
  await store.close()
  await rm(directory, { recursive: true, force: true })
})

async function startRollouts(count: number): Promise<Service[]> {
  return store.transaction(actor, async (transaction) => {
    const cluster = await transaction.create(clusterKind, { data: { name: 'away', description: '' } })
    const location = { internal: false, externalImage: 'example.org/web' } as const
    const image = await transaction.create(imageKind, { data: { name: 'web', description: '', location } })
    const services: Service[] = []
    for (let number = 0; number < count; number += 1) {
      const data = serviceData.parse({ name: `web-${number}`, clusterId: cluster.id, imageId: image.id })
      services.push(await createService(transaction, { data }, rules))
    }
    return services
  })
}

const failing = (error: unknown): void => {
  throw error
}

function advancerOf(connected: boolean, current = false, onError = failing) {
  const counted: Store = {
    ...store,
    get: (...asked) => {
      reads += 1
      return store.get(...asked)
    },
  }
  return createRolloutAdvancer({
    store: counted,
    now: () => nowMs,
    observe: () => ({ connected, current, provenAtMs: nowMs, tasks: [], replicas: new Map() }),
    judge: () => Promise.reject(new Error('No service here demands a signature.')),
    settle: async () => {},
    onError,
  })
}

it('does not keep looking at rollouts nobody reports on, until one of them or its service changes', async () => {
  const [first] = await startRollouts(20)
  if (first === undefined) throw new Error('no service')
  const advancer = advancerOf(false)
  await advancer.run(signal)
  expect(await advancer.run(signal)).toEqual({ checkAfterMs: null })
  reads = 0
  await advancer.run(signal)
  expect(reads).toBeLessThanOrEqual(20)
  await store.transaction(actor, (transaction) =>
    updateService(transaction, { id: first.id, data: { ...first.data, scaleFactor: 0 } }, rules),
  )
  await advancer.run(signal)
  const [ended] = await store.all(rolloutKind, { where: { serviceId: first.id } })
  expect(ended?.status.phase).toBe('succeeded')
})

it('gives up on a rollout nobody reports on after a day', async () => {
  await startRollouts(1)
  const advancer = advancerOf(false)
  await advancer.run(signal)
  await advancer.run(signal)
  nowMs += 2 * 86_400_000
  await advancer.run(signal)
  const [ended] = await store.all(rolloutKind)
  expect(ended?.status.phase).toBe('failed')
})

it('goes on with a rollout whose signatures cannot be read: it waits, says so in the log, and can be aborted', async () => {
  const [web] = await startRollouts(1)
  if (web === undefined) throw new Error('no service')
  const { publicKey } = generateKeyPairSync('ed25519')
  const signedBy = [publicKey.export({ type: 'spki', format: 'pem' }).toString()]
  const admission = { signedBy, annotations: {}, requireDigest: false }
  await store.transaction(actor, (transaction) =>
    updateService(transaction, { id: web.id, data: { ...web.data, admission, imageVersion: 'v2' } }, rules),
  )
  const newest = async () => (await store.all(rolloutKind)).at(-1)
  const errors: unknown[] = []
  const advancer = advancerOf(false, false, (error) => void errors.push(error))
  await advancer.run(signal)
  expect(await newest()).toMatchObject({ status: { phase: 'verifying' } })
  expect(errors.map(String)).toEqual([expect.stringContaining('demands a signature')])
  await store.transaction(actor, async (transaction) => abortRollout(transaction, (await newest())?.id ?? ''))
  await advancer.run(signal)
  expect(await newest()).toMatchObject({ status: { phase: 'aborted' } })
})

it('looks again within a second at a rollout agents report on', async () => {
  await startRollouts(1)
  const { checkAfterMs } = await advancerOf(true).run(signal)
  expect(checkAfterMs).toBeLessThanOrEqual(1000)
})

it('counts only the time it watched: a clock that is set, or a machine that slept, is no deadline missed', async () => {
  await startRollouts(1)
  const advancer = advancerOf(true, true)
  const phaseAfter = async (ms: number) => {
    nowMs += ms
    await advancer.run(signal)
    return (await store.all(rolloutKind))[0]?.status.phase
  }
  expect(await phaseAfter(0)).toBe('starting')
  expect(await phaseAfter(3_600_000)).toBe('starting')
  expect(await phaseAfter(-3_600_000)).toBe('starting')
  for (let second = 0; second < 110; second += 1) expect(await phaseAfter(1_000)).toBe('starting')
  for (let second = 0; second < 10; second += 1) await phaseAfter(1_000)
  expect(await phaseAfter(1_000)).not.toBe('starting')
})

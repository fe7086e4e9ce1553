import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { clusterKind, imageKind, kinds, rolloutKind, serviceData, serviceKind } from '@freehold/contracts'
import { openSqliteStore, type Store } from '@freehold/store'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { makeSigner } from '../admission/signing.testing.ts'
import { createPushReconciler } from './push.ts'
import { createService, type ServiceRules, updateService } from './service.ts'

const actor = { type: 'system', id: 'test', name: 'test' } as const
const rules: ServiceRules = { registryHost: () => 'registry.test', now: () => Date.now() }
const signal = new AbortController().signal
const digest = `sha256:${'a'.repeat(64)}`
let directory = ''
let store: Store

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'freehold-push-'))
  store = await openSqliteStore({ directory, kinds: Object.values(kinds) })
})
afterEach(async () => {
  await store.close()
  await rm(directory, { recursive: true, force: true })
})

const reconciler = (judge: () => Promise<{ admitted: boolean; message: string }>) =>
  createPushReconciler({ store, rules, judge, settle: async () => {} })
const rollouts = () => store.all(rolloutKind)

/** A service that demands a signature, whose image was pushed before it was made. */
const makeService = (name = 'web') =>
  store.transaction(actor, async (transaction) => {
    const cluster = await transaction.create(clusterKind, { data: { name, description: '' } })
    const image = await transaction.create(imageKind, {
      data: { name: `team/${name}`, description: '', location: { internal: true } },
    })
    const at = new Date().toISOString()
    const version = {
      versionString: 'latest',
      digest,
      mediaType: 'x',
      size: 1,
      platforms: [],
      pushedBy: 'a',
      createdAt: at,
    }
    await transaction.setStatus(imageKind, image.id, { versions: [version], lastPushAt: at, usedBytes: 1 })
    const admission = { signedBy: [makeSigner().publicKey] }
    const data = serviceData.parse({ name, clusterId: cluster.id, imageId: image.id, admission })
    return createService(transaction, { data }, rules)
  })

/** What the rollout reconciler writes of an image that is not signed. */
async function refuse(index: number): Promise<void> {
  const rollout = (await rollouts())[index]
  if (rollout === undefined) throw new Error('no rollout')
  await store.transaction(actor, (transaction) =>
    transaction.setStatus(rolloutKind, rollout.id, {
      ...rollout.status,
      phase: 'failed',
      failure: { outcome: 'failed', reason: 'No signature.', logTail: [], refused: true },
    }),
  )
}

it('sees a refusal that was written after the signature had come', async () => {
  await makeService()
  const pushes = reconciler(async () => ({ admitted: true, message: '' }))
  await pushes.run(signal)
  const [first] = await rollouts()
  if (first === undefined) throw new Error('no rollout')
  expect(first).toMatchObject({ data: { trigger: 'create' }, status: { phase: 'verifying' } })
  await refuse(0)
  await pushes.run(signal)
  const [, second] = await rollouts()
  expect(second?.data).toMatchObject({ trigger: 'push', revisionId: first.data.revisionId })
  await pushes.run(signal)
  expect(await rollouts()).toHaveLength(2)
})

it('decides nothing by a verdict on a rule that was changed meanwhile', async () => {
  const { id } = await makeService()
  await refuse(0)
  let isFirst = true
  const pushes = reconciler(async () => {
    if (isFirst) {
      isFirst = false
      await store.transaction(actor, async (transaction) => {
        const service = await transaction.get(serviceKind, id)
        if (service === undefined) throw new Error('no service')
        const admission = { signedBy: [makeSigner().publicKey], annotations: {}, requireDigest: false }
        await updateService(transaction, { id, data: { ...service.data, admission } }, rules)
      })
      return { admitted: true, message: '' }
    }
    return { admitted: false, message: 'Not by this key.' }
  })
  await pushes.run(signal)
  expect(await rollouts()).toHaveLength(1)
  await pushes.run(signal)
  expect(await rollouts()).toHaveLength(1)
  expect((await store.get(serviceKind, id))?.status.awaitingSignature).toEqual({
    digest,
    message: 'Waiting for a signature. Not by this key.',
  })
})

it('asks nobody where the tag means what is tried already', async () => {
  await makeService()
  const pushes = reconciler(() => Promise.reject(new Error('asked')))
  await pushes.run(signal)
  await pushes.run(signal)
  expect(await rollouts()).toHaveLength(1)
})

it('lets one whose signatures cannot be read keep no other waiting, and tries it again', async () => {
  for (const [index, name] of ['one', 'two'].entries()) {
    await makeService(name)
    await refuse(index)
  }
  let asked = 0
  const pushes = reconciler(async () => {
    asked += 1
    if (asked === 1) throw new Error('The disk does not answer.')
    return { admitted: true, message: '' }
  })
  await expect(pushes.run(signal)).rejects.toThrow('The disk does not answer.')
  expect(await rollouts()).toHaveLength(3)
  await pushes.run(signal)
  expect(await rollouts()).toHaveLength(4)
})

import { clusterKind, imageKind, revisionKind, type Service, serviceData } from '@freehold/contracts'
import type { Actor } from '@freehold/store'
import { expect, it, onTestFinished } from 'vitest'
import { createService, deleteService, updateService } from '../services/index.ts'
import { collectAll, losses } from './garbage.testing.ts'
import { pushImage, putManifest, startTestRegistry, type TestRegistry } from './testing.ts'

const tester: Actor = { type: 'user', id: 'tester', name: 'tester' }

async function start(): Promise<TestRegistry> {
  const registry = await startTestRegistry()
  onTestFinished(() => registry.remove())
  return registry
}

const rulesOf = (registryHost: string) => ({ registryHost: () => registryHost, now: () => Date.now() })

async function serve(registry: TestRegistry, repository: string, host = registry.host): Promise<Service> {
  return registry.store.transaction(tester, async (transaction) => {
    const cluster = await transaction.create(clusterKind, { data: { name: 'main', description: '' } })
    const image = await transaction.find(imageKind, 'name', repository)
    const data = serviceData.parse({ name: 'web', clusterId: cluster.id, imageId: image?.id, imageVersion: 'v1' })
    return createService(transaction, { data }, rulesOf(host))
  })
}

async function refusalOf(registry: TestRegistry, reference: string) {
  const response = await registry.send('DELETE', `/v2/served/app/manifests/${reference}`)
  return { status: response.status, body: (await response.json()) as unknown }
}

const denied = {
  status: 405,
  body: { errors: [{ code: 'DENIED', detail: { services: [{ service: 'web', revision: 1 }] } }] },
}

it('refuses to delete what a service runs, by tag and by digest, and says which service it is', async () => {
  const registry = await start()
  const { digest } = await pushImage(registry, 'served/app', 'v1', 'layer one')
  const other = await pushImage(registry, 'served/app', 'unused', 'layer two')
  await serve(registry, 'served/app')
  for (const reference of ['v1', digest]) expect(await refusalOf(registry, reference)).toMatchObject(denied)
  expect((await registry.send('DELETE', `/v2/served/app/manifests/${other.digest}`)).status).toBe(202)
  await collectAll(registry, 1000)
  expect(await losses(registry)).toEqual([])
  expect((await registry.send('GET', '/v2/served/app/manifests/v1')).status).toBe(200)
})

it('keeps what an earlier revision ran, to go back to, until the service is deleted', async () => {
  const registry = await start()
  const { digest } = await pushImage(registry, 'served/app', 'v1', 'layer one')
  const { manifest } = await pushImage(registry, 'served/app', 'v2', 'layer two')
  const service = await serve(registry, 'served/app')
  await registry.store.transaction(tester, (transaction) =>
    updateService(
      transaction,
      { id: service.id, data: { ...service.data, imageVersion: 'v2' } },
      rulesOf(registry.host),
    ),
  )
  expect(await registry.store.count(revisionKind)).toBe(2)
  expect(await refusalOf(registry, digest)).toMatchObject(denied)
  await putManifest(registry, 'served/app', 'v1', manifest)
  expect(await refusalOf(registry, digest)).toMatchObject(denied)
  await registry.store.transaction(tester, (transaction) => deleteService(transaction, { id: service.id }))
  expect((await registry.send('DELETE', `/v2/served/app/manifests/${digest}`)).status).toBe(202)
})

it('knows a revision that was made while the server was reached under another name', async () => {
  const registry = await start()
  const { digest } = await pushImage(registry, 'served/app', 'v1', 'layer one')
  await serve(registry, 'served/app', 'old-name.example:8080')
  expect(await refusalOf(registry, digest)).toMatchObject(denied)
})

it('runs a tag that is too old for the list in the image’s record', async () => {
  const registry = await start()
  const { digest } = await pushImage(registry, 'served/app', 'v1', 'layer one')
  const image = await registry.store.find(imageKind, 'name', 'served/app')
  if (image === undefined) throw new Error('The push made no image.')
  await registry.store.transaction(tester, (transaction) =>
    transaction.setStatus(imageKind, image.id, { ...image.status, versions: [] }),
  )
  await serve(registry, 'served/app')
  expect((await registry.store.list(revisionKind)).items).toMatchObject([{ data: { imageDigest: digest } }])
})

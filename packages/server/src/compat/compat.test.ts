import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { adminAccount, seedToken, startTestServer, type TestServer } from '../http/server.testing.ts'
import { unknownMethod } from './envelope.ts'
import { methods } from './methods.ts'

let server: TestServer
let userToken: string
let identity: { jwt: string }

beforeAll(async () => {
  server = await startTestServer({
    async seed(store) {
      userToken = await seedToken(store, 'user')
    },
  })
  const { username, password } = adminAccount
  identity = (await fire('adminLoginWithUsernameAndPassword', { username, password })).response.identity
})
afterAll(() => server.close())

async function post(body: unknown) {
  return server.call('POST', '/typedrequest', { body })
}
async function fire(method: string, request: Record<string, unknown>) {
  const id = randomUUID()
  const { status, body } = await post({
    method,
    request,
    response: null,
    correlation: { id, phase: 'request' },
  })
  expect(status).toBe(200)
  expect(body).toMatchObject({ method, request, correlation: { id, phase: 'response' } })
  return body
}
const as = (request: Record<string, unknown> = {}) => ({ identity, ...request })

it('signs in with the fields of IIdentity, and knows a token again', async () => {
  expect(Object.keys(identity).toSorted()).toEqual(['expiresAt', 'jwt', 'name', 'role', 'type', 'userId'])
  expect(identity).toMatchObject({ name: 'admin', role: 'admin', type: 'human', expiresAt: expect.any(Number) })
  const { response } = await fire('getIdentityByToken', { token: identity.jwt })
  expect(response.identity).toMatchObject({ name: 'admin', jwt: identity.jwt })
})

it('answers an unknown method with the words clients know', async () => {
  const answer = await fire('makeCoffee', as())
  expect(answer.error).toEqual({ text: unknownMethod, data: {} })
  expect(answer.response).toBeNull()
  expect((await fire('constructor', as())).error.text).toBe(unknownMethod)
})

it('lets nobody in without an identity, and nobody do what the API would not let them', async () => {
  const open = new Set(['adminLoginWithUsernameAndPassword', 'getIdentityByToken', 'createService', 'updateCluster'])
  const some = {
    clusterId: randomUUID(),
    serviceId: randomUUID(),
    imageId: randomUUID(),
    nodeId: randomUUID(),
    deploymentId: 'x',
    id: randomUUID(),
    registryId: randomUUID(),
    registryData: { id: randomUUID(), data: { name: 'x' } },
    key: 'baseosApproval',
    updates: {},
  }
  for (const method of Object.keys(methods).filter((name) => !open.has(name))) {
    const { error } = await fire(method, {
      ...some,
      clusterName: 'x',
      name: 'x',
      serviceData: { clusterId: some.clusterId },
    })
    expect([method, error.data.code]).toEqual([method, 'unauthenticated'])
  }
  const { error } = await fire('createCluster', { identity: { jwt: userToken }, clusterName: 'mine' })
  expect(error.data.code).toBe('forbidden')
  expect((await fire('getClusters', { identity: { jwt: 'fhs_wrong' } })).error.data.code).toMatch(
    /unauthenticated|token-expired/,
  )
})

it('walks a cluster, a service and its image through their lives, with the records clients know', async () => {
  const { cluster } = (await fire('createCluster', as({ clusterName: 'main' }))).response
  expect(cluster).toMatchObject({
    id: expect.any(String),
    data: { name: 'main', nodes: [], sshKeys: [], setupMode: 'manual' },
  })
  const clusterId = cluster.id
  expect((await fire('getClusters', as())).response.clusters).toHaveLength(1)
  expect((await fire('getNodesByCluster', as({ clusterId }))).response.nodes).toEqual([])

  const serviceData = {
    name: 'web',
    description: 'a service',
    imageId: '',
    imageVersion: 'stable',
    environment: { A: '1', B: '2' },
    secretBundleId: '',
    serviceCategory: 'workload',
    deploymentStrategy: 'limited-replicas',
    maxReplicas: 3,
    scaleFactor: 2,
    balancingStrategy: 'round-robin',
    ports: { web: 8080 },
    resources: { memorySizeMB: 64 },
    domains: [],
    deploymentIds: [],
  }
  const { service } = (await fire('createService', as({ serviceData }))).response
  expect(service.data).toMatchObject({ ...serviceData, imageId: expect.stringMatching(/^[0-9a-f-]{36}$/), clusterId })
  const serviceId = service.id
  const updated = await fire(
    'updateService',
    as({ serviceId, serviceData: { ...service.data, environment: { B: '3' } } }),
  )
  expect(updated.response.service.data.environment).toEqual({ B: '3' })
  expect((await fire('getServices', as())).response.services).toHaveLength(1)
  const target = (await fire('getServiceRegistryTarget', as({ serviceId }))).response
  expect(target.registryTarget).toBe(`${new URL(server.url).host}/workloads/web-${serviceId.slice(0, 8)}:stable`)
  expect((await fire('getDeploymentsByService', as({ serviceId }))).response.deployments).toEqual([])

  const config = (await fire('getClusterConfig', as({ clusterId }))).response
  expect(config).toMatchObject({ configData: { id: clusterId }, services: [{ id: serviceId }] })
  const images = (await fire('getAllImages', as())).response.images
  expect(images[0]).toMatchObject({ id: service.data.imageId, data: { location: { internal: true }, versions: [] } })
  expect((await fire('deleteClusterById', as({ clusterId }))).error.text).toContain('still has services: web')
  expect((await fire('deleteServiceById', as({ serviceId }))).response).toEqual({ success: true })
  expect((await fire('deleteImage', as({ imageId: service.data.imageId }))).response).toEqual({})
  expect((await fire('deleteClusterById', as({ clusterId }))).response).toEqual({ ok: true })
})

it('shows settings masked, changes and clears them', async () => {
  const updates = { baseosJoinToken: 'a-generic-token-of-devices-wxyz', baseosApproval: 'manual' }
  expect((await fire('updateSettings', as({ updates }))).response).toMatchObject({ success: true })
  const { settings } = (await fire('getSettings', as())).response
  expect(settings).toMatchObject({ baseosJoinToken: '••••wxyz', baseosApproval: 'manual' })
  for (const key of Object.keys(updates)) await fire('clearSetting', as({ key }))
  expect((await fire('getSettings', as())).response.settings).toMatchObject({
    baseosJoinToken: null,
    baseosApproval: 'automatic',
  })
  expect((await fire('clearSetting', as({ key: 'nothing' }))).error.data.code).toBe('invalid-input')
  expect((await fire('updateSettings', as({ updates: { unknown: 'x' } }))).error.text).toContain('unknown')
  expect((await fire('updateSettings', as({ updates: { baseosJoinToken: 'short' } }))).error.text).toContain('16')
})

it('refuses by name what it cannot honour, instead of dropping it', async () => {
  const { error } = await fire(
    'createService',
    as({ serviceData: { name: 'x', domains: [{ name: 'a.test' }], secretBundleId: 'y' } }),
  )
  expect(error.text).toContain('domains, secretBundleId')
})

it('answers what is no envelope with an HTTP error', async () => {
  expect((await post({ method: 'getClusters' })).status).toBe(400)
  expect((await server.call('GET', '/typedrequest')).status).toBe(405)
})

it('keeps registries elsewhere by the records clients know, without ever telling a password', async () => {
  const registryData = {
    type: 'docker',
    name: 'hub',
    url: 'https://registry.example',
    username: 'ada',
    password: 'open sesame',
  }
  const { registry } = (await fire('createExternalRegistry', as({ registryData }))).response
  expect(registry).toEqual({ id: expect.any(String), data: { ...registryData, password: '' } })
  const changed = { id: registry.id, data: { ...registry.data, name: 'hub-2' } }
  const { resultRegistry } = (await fire('updateExternalRegistry', as({ registryData: changed }))).response
  expect(resultRegistry.data).toMatchObject({ name: 'hub-2', password: '' })
  expect((await fire('getExternalRegistryById', as({ id: registry.id }))).response.registry).toEqual(resultRegistry)
  expect((await fire('getExternalRegistries', as())).response.registries).toEqual([resultRegistry])
  expect((await fire('deleteExternalRegistryById', as({ registryId: registry.id }))).response).toEqual({ ok: true })
  expect((await fire('getExternalRegistries', as())).response.registries).toEqual([])
})

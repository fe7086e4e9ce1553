import { FreeholdError, type Node, type Service } from '@freehold/contracts'
import { z } from 'zod'
import { parsePart, refuseFaults } from '../http/parse.ts'
import { type Call, listAll } from './call.ts'
import {
  clusterRecord,
  deploymentRecord,
  externalRegistryRecord,
  identityRecord,
  imageRecord,
  nodeRecord,
  serviceRecord,
} from './records.ts'

export interface MethodContext {
  call: Call
  /** The same, as whoever holds this token. */
  callAs: (jwt: string) => Promise<Call>
  jwt: string
  publicUrl: string
}

type Method = (request: Record<string, unknown>, context: MethodContext) => Promise<unknown>

/** Each typed method and the routes that answer it; access is the routes' own. */
export const methods: Record<string, Method> = {
  async adminLoginWithUsernameAndPassword(request, { call }) {
    const { username, password } = request
    const { identity, token } = await call('auth', 'login', { body: { username, password } })
    return { identity: identityRecord(identity, token) }
  },
  async getIdentityByToken(request, { callAs }) {
    const token = text(request, 'token')
    const call = await callAs(token)
    return { identity: identityRecord(await call('auth', 'identity'), token) }
  },

  async getClusters(_request, context) {
    const clusters = await listAll((query) => context.call('clusters', 'list', { query }))
    const nodes = await nodesOf(context.call)
    return {
      clusters: clusters.map((cluster) =>
        clusterRecord(cluster, {
          nodes: nodes.filter((node) => node.data.clusterId === cluster.id),
          cloudlyUrl: context.publicUrl,
        }),
      ),
    }
  },
  getClusterById: async (request, context) => ({ cluster: await clusterById(text(request, 'clusterId'), context) }),
  async createCluster(request, context) {
    const setupMode = request.setupMode ?? 'manual'
    if (setupMode !== 'manual') {
      throw new FreeholdError('invalid-input', `setupMode ${String(setupMode)} is not available; only manual is.`)
    }
    const body = { data: { name: text(request, 'clusterName') } }
    const cluster = await context.call('clusters', 'create', { body })
    return { cluster: clusterRecord(cluster, { nodes: [], cloudlyUrl: context.publicUrl }) }
  },
  async updateCluster(request, context) {
    const clusterData = parsed(z.object({ id: z.string(), data: z.object({ name: z.string() }) }), request.clusterData)
    const { id, data } = clusterData
    await context.call('clusters', 'update', { params: { id }, body: { data: { name: data.name } } })
    const cluster = await clusterById(id, context)
    return { resultCluster: cluster, cluster }
  },
  deleteClusterById: deleteCluster,
  deleteCluster,
  async getClusterConfig(request, context) {
    const clusterId = text(request, 'clusterId')
    const services = await listAll((query) => context.call('services', 'list', { query: { ...query, clusterId } }))
    return { configData: await clusterById(clusterId, context), services: services.map(serviceRecord) }
  },
  async getNodesByCluster(request, { call }) {
    return { nodes: (await nodesOf(call, text(request, 'clusterId'))).map(nodeRecord) }
  },
  async getNodeConfig(request, { call }) {
    return { configData: nodeRecord(await call('nodes', 'get', { params: { id: text(request, 'nodeId') } })) }
  },

  async getServices(_request, { call }) {
    return { services: (await servicesOf(call)).map(serviceRecord) }
  },
  async getServiceById(request, { call }) {
    return { service: serviceRecord(await call('services', 'get', { params: { id: text(request, 'serviceId') } })) }
  },
  async createService(request, { call }) {
    const data = await newServiceData(request.serviceData, call)
    return { service: serviceRecord(await call('services', 'create', { body: { data } })) }
  },
  async updateService(request, { call }) {
    const params = { id: text(request, 'serviceId') }
    const { environment, ...data } = serviceDataOf(request.serviceData)
    if (environment !== undefined) {
      const before = await call('services', 'get', { params })
      Object.assign(data, { environment: replacing(before.data.environment, environment) })
    }
    return { service: serviceRecord(await call('services', 'update', { params, body: { data } })) }
  },
  async deleteServiceById(request, { call }) {
    await call('services', 'delete', { params: { id: text(request, 'serviceId') }, query: {} })
    return { success: true }
  },
  async getServiceRegistryTarget(request, { call }) {
    const found = await call('services', 'registryTarget', { params: { id: text(request, 'serviceId') } })
    return { registryTarget: found.target, ...found }
  },

  async getDeployments(_request, { call }) {
    return { deployments: await deploymentsOf(await servicesOf(call), call) }
  },
  async getDeploymentById(request, { call }) {
    const id = text(request, 'deploymentId')
    const deployment = (await deploymentsOf(await servicesOf(call), call)).find((one) => one.id === id)
    if (deployment === undefined) throw new FreeholdError('not-found', `There is no deployment with the id ${id}.`)
    return { deployment }
  },
  async getDeploymentsByService(request, { call }) {
    const service = await call('services', 'get', { params: { id: text(request, 'serviceId') } })
    return { deployments: await deploymentsOf([service], call) }
  },
  getDeploymentsByNode: deploymentsByNode,
  getNodeDeployments: deploymentsByNode,

  async getAllImages(_request, { call }) {
    return { images: (await listAll((query) => call('images', 'list', { query }))).map(imageRecord) }
  },
  async getImage(request, { call }) {
    return { image: imageRecord(await call('images', 'get', { params: { id: text(request, 'imageId') } })) }
  },
  async createImage(request, { call }) {
    const body = { data: { name: text(request, 'name'), description: optionalText(request, 'description') } }
    return { image: imageRecord(await call('images', 'create', { body })) }
  },
  async deleteImage(request, { call }) {
    await call('images', 'delete', { params: { id: text(request, 'imageId') }, query: {} })
    return {}
  },

  getSettings: async (_request, { call }) => ({ settings: await call('settings', 'get') }),
  async updateSettings(request, { call }) {
    await call('settings', 'update', { body: request.updates })
    return { success: true, message: 'The settings were changed.' }
  },
  async clearSetting(request, { call }) {
    await call('settings', 'clear', { params: { key: text(request, 'key') } })
    return { success: true, message: 'The setting is back to its default.' }
  },

  async getExternalRegistries(_request, { call }) {
    const registries = await listAll((query) => call('externalRegistries', 'list', { query }))
    return { registries: registries.map(externalRegistryRecord) }
  },
  async getExternalRegistryById(request, { call }) {
    const registry = await call('externalRegistries', 'get', { params: { id: text(request, 'id') } })
    return { registry: externalRegistryRecord(registry) }
  },
  async createExternalRegistry(request, { call }) {
    const { data } = registryDataOf(request.registryData)
    const { password, ...rest } = data
    const body = { data: { ...rest, ...(password === '' || password === undefined ? {} : { password }) } }
    return { registry: externalRegistryRecord(await call('externalRegistries', 'create', { body })) }
  },
  async updateExternalRegistry(request, { call }) {
    const { id, data } = registryDataOf(request.registryData)
    const { type: _type, password, ...rest } = data
    const body = { data: { ...rest, ...(password === '' || password === undefined ? {} : { password }) } }
    const registry = await call('externalRegistries', 'update', { params: { id }, body })
    return { resultRegistry: externalRegistryRecord(registry) }
  },
  async deleteExternalRegistryById(request, { call }) {
    await call('externalRegistries', 'delete', { params: { id: text(request, 'registryId') }, query: {} })
    return { ok: true }
  },
}

const foreignRegistryData = z.object({
  type: z.string().optional(),
  name: z.string().optional(),
  url: z.string().optional(),
  username: z.string().optional(),
  password: z.string().optional(),
})

/** `{id, data}` as records are, or the data alone where there is no id yet. */
function registryDataOf(value: unknown): { id?: string | undefined; data: z.output<typeof foreignRegistryData> } {
  const record = z.object({ id: z.string().optional(), data: foreignRegistryData })
  const isRecord = typeof value === 'object' && value !== null && 'data' in value
  return isRecord ? parsed(record, value) : { data: parsed(foreignRegistryData, value) }
}

async function deleteCluster(request: Record<string, unknown>, { call }: MethodContext): Promise<unknown> {
  await call('clusters', 'delete', { params: { id: text(request, 'clusterId') }, query: {} })
  return { ok: true }
}

async function deploymentsByNode(request: Record<string, unknown>, { call }: MethodContext): Promise<unknown> {
  const nodeId = text(request, 'nodeId')
  const node = await call('nodes', 'get', { params: { id: nodeId } })
  const services = await servicesOf(call, node.data.clusterId)
  return { deployments: (await deploymentsOf(services, call)).filter((one) => one.nodeId === nodeId) }
}

async function clusterById(id: string, { call, publicUrl }: MethodContext) {
  const cluster = await call('clusters', 'get', { params: { id } })
  return clusterRecord(cluster, { nodes: await nodesOf(call, id), cloudlyUrl: publicUrl })
}

function nodesOf(call: Call, clusterId?: string): Promise<Node[]> {
  const filter = clusterId === undefined ? {} : { clusterId }
  return listAll((query) => call('nodes', 'list', { query: { ...query, ...filter } }))
}

function servicesOf(call: Call, clusterId?: string): Promise<Service[]> {
  const filter = clusterId === undefined ? {} : { clusterId }
  return listAll((query) => call('services', 'list', { query: { ...query, ...filter } }))
}

async function deploymentsOf(services: readonly Service[], call: Call) {
  const nodes = await nodesOf(call)
  const deployments = await Promise.all(
    services
      .filter((service) => service.status.tasks.length > 0)
      .map(async (service) => {
        const filter = { serviceId: service.id }
        const revisions = await listAll((query) => call('revisions', 'list', { query: { ...query, ...filter } }))
        return service.status.tasks.map((task) => deploymentRecord(task, { service, nodes, revisions }))
      }),
  )
  return deployments.flat()
}

const foreignService = z.looseObject({
  ports: z.looseObject({ web: z.number().optional(), custom: z.record(z.string(), z.unknown()).optional() }).optional(),
  resources: z
    .looseObject({
      cpuLimit: z.number().optional(),
      memorySizeMB: z.number().optional(),
      volumeMounts: z.array(z.unknown()).optional(),
    })
    .optional(),
  domains: z.array(z.unknown()).optional(),
  secretBundleId: z.string().optional(),
  additionalSecretBundleIds: z.array(z.string()).optional(),
})
/** Fields that mean the same here; `balancingStrategy` and `deploymentIds` are taken and have no effect. */
const sameFields = [
  'name',
  'description',
  'clusterId',
  'imageId',
  'imageVersion',
  'deployOnPush',
  'environment',
  'serviceCategory',
  'deploymentStrategy',
  'maxReplicas',
  'antiAffinity',
  'scaleFactor',
]

/** Our data of an `IService['data']`. What cannot be honoured is refused by name and never dropped silently. */
function serviceDataOf(value: unknown): Record<string, unknown> {
  const data = parsed(foreignService, value)
  const unable = [
    ...(Object.keys(data.ports?.custom ?? {}).length > 0 ? ['ports.custom'] : []),
    ...((data.resources?.volumeMounts?.length ?? 0) > 0 ? ['resources.volumeMounts'] : []),
    ...((data.domains?.length ?? 0) > 0 ? ['domains'] : []),
    ...((data.secretBundleId ?? '') !== '' ? ['secretBundleId'] : []),
    ...((data.additionalSecretBundleIds?.length ?? 0) > 0 ? ['additionalSecretBundleIds'] : []),
  ]
  if (unable.length > 0) {
    throw new FreeholdError('invalid-input', `This server cannot honour ${unable.join(', ')} yet; leave them empty.`)
  }
  const same = Object.fromEntries(
    sameFields.filter((name) => data[name] !== undefined && data[name] !== '').map((name) => [name, data[name]]),
  )
  const { cpuLimit, memorySizeMB } = data.resources ?? {}
  const web = data.ports?.web
  return {
    ...same,
    ...(web === undefined || web === 0 ? {} : { ports: { web } }),
    ...(data.resources === undefined
      ? {}
      : { resources: { ...(cpuLimit && { cpuLimit }), ...(memorySizeMB && { memorySizeMB }) } }),
  }
}

/** A merge patch that leaves nothing of the old record: a typed update gives the whole. */
function replacing(before: Record<string, string>, after: unknown): unknown {
  if (typeof after !== 'object' || after === null) return after
  return { ...Object.fromEntries(Object.keys(before).map((name) => [name, null])), ...after }
}

/** `IService` names no cluster: it is the one given besides, or the only one there is. */
async function newServiceData(value: unknown, call: Call): Promise<Record<string, unknown>> {
  const data = serviceDataOf(value)
  if (data.clusterId !== undefined) return data
  const { items } = await call('clusters', 'list', { query: { limit: 2 } })
  const [only, second] = items
  if (only === undefined || second !== undefined) {
    throw new FreeholdError('invalid-input', 'serviceData.clusterId: say which cluster; there is not exactly one.')
  }
  return { ...data, clusterId: only.id }
}

function parsed<S extends z.ZodType>(schema: S, value: unknown): z.output<S> {
  const result = parsePart(schema, value, 'request')
  if ('value' in result) return result.value
  refuseFaults(result.faults)
  throw new FreeholdError('invalid-input')
}

function text(request: Record<string, unknown>, name: string): string {
  const value = request[name]
  if (typeof value !== 'string' || value === '')
    throw new FreeholdError('invalid-input', `request.${name}: a text is missing.`)
  return value
}

function optionalText(request: Record<string, unknown>, name: string): string {
  const value = request[name]
  return typeof value === 'string' ? value : ''
}

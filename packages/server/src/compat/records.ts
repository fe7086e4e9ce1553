import type { Cluster, ExternalRegistry, Identity, Image, Node, Revision, Service, Task } from '@freehold/contracts'

/** Records as typed clients know them (`ICluster`, `IClusterNode`, `IService`, `IImage`, `IDeployment`, `IIdentity`). */

export function identityRecord(identity: Identity, jwt: string) {
  return {
    name: identity.name,
    userId: identity.userId,
    type: identity.subject === 'user' ? 'human' : 'machine',
    role: identity.role,
    /** Milliseconds; a credential that does not expire says so by the largest date there is. */
    expiresAt: identity.expiresAt === null ? 8_640_000_000_000_000 : Date.parse(identity.expiresAt),
    jwt,
  }
}

export function clusterRecord(cluster: Cluster, context: { nodes: readonly Node[]; cloudlyUrl: string }) {
  return {
    id: cluster.id,
    data: {
      name: cluster.data.name,
      /** Agents prove keys of their own; no machine user stands behind a cluster. */
      userId: cluster.id,
      cloudlyUrl: context.cloudlyUrl,
      setupMode: 'manual',
      nodes: context.nodes.map(nodeRecord),
      acmeInfo: { serverAddress: '', serverSecret: '' },
      sshKeys: [],
    },
  }
}

export function nodeRecord(node: Node) {
  const { status } = node
  return {
    id: node.id,
    data: {
      clusterId: node.data.clusterId,
      nodeType: 'vm',
      status: status.state === 'revoked' ? 'offline' : status.state,
      role: status.role === 'manager' ? 'master' : 'worker',
      joinedAt: Date.parse(node.createdAt),
      lastHealthCheck: Date.parse(node.updatedAt),
      ...(status.swarmNodeId === null ? {} : { swarmNodeId: status.swarmNodeId }),
      sshKeys: [],
      requiredDebianPackages: [],
    },
  }
}

export function serviceRecord(service: Service) {
  const { data, status } = service
  return {
    id: service.id,
    data: {
      name: data.name,
      description: data.description,
      clusterId: data.clusterId,
      imageId: data.imageId ?? '',
      imageVersion: data.imageVersion,
      deployOnPush: data.deployOnPush,
      environment: data.environment,
      secretBundleId: '',
      additionalSecretBundleIds: [],
      serviceCategory: data.serviceCategory,
      deploymentStrategy: data.deploymentStrategy,
      ...(data.maxReplicas === undefined ? {} : { maxReplicas: data.maxReplicas }),
      antiAffinity: data.antiAffinity,
      scaleFactor: data.scaleFactor,
      balancingStrategy: 'round-robin',
      ports: { web: data.ports.web ?? 0 },
      resources: data.resources,
      domains: [],
      deploymentIds: status.tasks.map((task) => task.taskId),
    },
  }
}

export function imageRecord(image: Image) {
  const { location } = image.data
  return {
    id: image.id,
    data: {
      name: image.data.name,
      description: image.data.description,
      location: location.internal
        ? { internal: true, externalRegistryId: location.mirrorOf?.externalRegistryId ?? '', externalImageTag: '' }
        : {
            internal: false,
            externalRegistryId: location.externalRegistryId ?? '',
            externalImageTag: location.externalImage,
          },
      versions: image.status.versions.map((version) => ({
        versionString: version.versionString,
        digest: version.digest,
        size: version.size,
        createdAt: Date.parse(version.createdAt),
      })),
    },
  }
}

/** The password is written and never read: its field is always empty. */
export function externalRegistryRecord({ id, data }: Pick<ExternalRegistry, 'id' | 'data'>) {
  const { type, name, url, username } = data
  return { id, data: { type, name, url, username, password: '' } }
}

export function deploymentRecord(
  task: Task,
  context: { service: Service; nodes: readonly Node[]; revisions: readonly Revision[] },
) {
  const { service, nodes, revisions } = context
  const node = nodes.find((one) => one.status.swarmNodeId === task.swarmNodeId && task.swarmNodeId !== null)
  const revision = revisions.find((one) => one.id === task.revisionId)
  return {
    id: task.taskId,
    serviceId: service.id,
    nodeId: node?.id ?? '',
    usedImageId: service.data.imageId ?? '',
    version: revision?.data.imageVersion ?? service.data.imageVersion,
    deployedAt: Date.parse(task.since),
    deploymentLog: [...(task.message === '' ? [] : [task.message]), ...task.logTail],
    status: deploymentStatus(task),
    healthStatus: { passing: 'healthy', failing: 'unhealthy', unknown: 'unknown' }[task.health],
  }
}

function deploymentStatus({ state, desiredState }: Task): string {
  if (state === 'running') return desiredState === 'running' ? 'running' : 'stopping'
  if (['new', 'pending', 'assigned'].includes(state)) return 'scheduled'
  if (['accepted', 'preparing', 'ready', 'starting'].includes(state)) return 'starting'
  return state === 'failed' || state === 'rejected' ? 'failed' : 'stopped'
}

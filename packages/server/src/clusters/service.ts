import {
  type Cluster,
  clusterKind,
  enrolmentKind,
  FreeholdError,
  type Node,
  nodeKind,
  serviceKind,
} from '@freehold/contracts'
import type { Reads, Store, Transaction } from '@freehold/store'

const namesShown = 10
const expiredKeptMs = 24 * 60 * 60 * 1000

export function createCluster(
  transaction: Transaction,
  input: { data: Cluster['data']; labels?: Record<string, string> },
): Promise<Cluster> {
  return transaction.create(clusterKind, input)
}

export async function updateCluster(
  transaction: Transaction,
  input: { id: string; data: Cluster['data']; labels?: Record<string, string>; expectedVersion?: number },
): Promise<Cluster> {
  const { id, ...change } = input
  return transaction.update(clusterKind, id, change)
}

/** Deletes a cluster with its nodes and open JUMPCODEs. Throws `conflict` naming the services it still has. */
export async function deleteCluster(
  transaction: Transaction,
  input: { id: string; expectedVersion?: number },
): Promise<void> {
  const { id, expectedVersion } = input
  const page = await transaction.list(serviceKind, { where: { clusterId: id }, limit: namesShown })
  if (page.items.length > 0) {
    const names = page.items.map((service) => service.data.name).join(', ')
    const more = page.nextCursor === null ? '' : ' and more'
    throw new FreeholdError('conflict', `This cluster still has services: ${names}${more}. Delete them first.`)
  }
  await transaction.delete(clusterKind, id, expectedVersion === undefined ? {} : { expectedVersion })
  const where = { clusterId: id }
  for (const node of await transaction.all(nodeKind, { where })) await transaction.delete(nodeKind, node.id)
  for (const enrolment of await transaction.all(enrolmentKind, { where })) {
    await transaction.delete(enrolmentKind, enrolment.id)
  }
}

/** Shuts a node's agent out for good, and voids the passwords for pulls it knows. */
export async function revokeNode(transaction: Transaction, id: string): Promise<Node> {
  const node = await nodeOf(transaction, id)
  if (node.data.revoked) return node
  await transaction.update(nodeKind, id, { data: { ...node.data, revoked: true } })
  await voidPulls(transaction, node.data.clusterId)
  return transaction.setStatus(nodeKind, id, {
    ...node.status,
    state: 'revoked',
    leader: false,
    message: 'Its agent was revoked.',
  })
}

/** Forgets a node; its agent is shut out, and may enrol again with a new JUMPCODE. */
export async function deleteNode(
  transaction: Transaction,
  input: { id: string; expectedVersion?: number },
): Promise<void> {
  const { id, expectedVersion } = input
  const node = await nodeOf(transaction, id)
  await transaction.delete(nodeKind, id, expectedVersion === undefined ? {} : { expectedVersion })
  await voidPulls(transaction, node.data.clusterId)
}

/** Drops JUMPCODEs that ended more than a day ago; until then they can still say why they let nobody in. */
export async function pruneEnrolments(store: Store, options: { now: Date }): Promise<void> {
  const before = options.now.getTime() - expiredKeptMs
  const expired = (await store.all(enrolmentKind)).filter((one) => Date.parse(one.data.expiresAt) < before)
  if (expired.length === 0) return
  await store.transaction({ type: 'system', id: 'pruning', name: 'pruning' }, async (transaction) => {
    for (const { id } of expired) {
      if ((await transaction.get(enrolmentKind, id)) !== undefined) await transaction.delete(enrolmentKind, id)
    }
  })
}

async function voidPulls(transaction: Transaction, clusterId: string): Promise<void> {
  const cluster = await transaction.get(clusterKind, clusterId)
  if (cluster === undefined) return
  const pullEpoch = cluster.status.pullEpoch + 1
  await transaction.setStatus(clusterKind, clusterId, { ...cluster.status, pullEpoch })
}

async function nodeOf(reads: Reads, id: string): Promise<Node> {
  const node = await reads.get(nodeKind, id)
  if (node === undefined) throw new FreeholdError('not-found', `There is no node with the id ${id}.`)
  return node
}

import { type Cluster, clusterKind } from '@freehold/contracts'
import type { Actor, Store } from '@freehold/store'
import { createCluster, makeEnrolment } from '../clusters/index.ts'

const actor: Actor = { type: 'system', id: 'local-cluster', name: 'local cluster' }
const clusterName = 'local'
/** The agent joins within seconds of its start; a longer life would only be somebody else's chance. */
const expiresInSeconds = 600

/** Makes the cluster `local` where it is missing, and a JUMPCODE for one agent. */
export function createLocalEnrolment(options: {
  store: Store
  now: () => number
}): () => Promise<{ jumpCode: string }> {
  const { store, now } = options
  return async () => {
    const cluster = await ensureCluster(store)
    const { jumpCode } = await makeEnrolment(store, { actor, clusterId: cluster.id, uses: 1, expiresInSeconds, now })
    return { jumpCode }
  }
}

function ensureCluster(store: Store): Promise<Cluster> {
  return store.transaction(actor, async (transaction) => {
    const known = await transaction.find(clusterKind, 'name', clusterName)
    if (known !== undefined) return known
    return createCluster(transaction, {
      data: { name: clusterName, description: 'The Docker engine of the machine the control plane runs on.' },
    })
  })
}

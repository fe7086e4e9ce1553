import { createPublicKey } from 'node:crypto'
import { clusterKind, type Enrolment, enrolmentKind, FreeholdError, nodeKind } from '@freehold/contracts'
import type { Actor, Store, Transaction } from '@freehold/store'
import type { Handlers } from '../http/handler.ts'
import { getResource, listResources, present } from '../http/resources.ts'
import { createThrottle } from '../identity/index.ts'
import { agentCommand, checkEnrolment, hashJumpCode, makeJumpCode } from './kind.ts'

export function createEnrolmentHandlers(options: {
  store: Store
  publicUrl: () => string
  now: () => number
}): Handlers<'enrolments'> {
  const { store, publicUrl, now } = options
  return {
    list: ({ query }) => listResources(store, enrolmentKind, query),
    async create({ body, caller }) {
      const { enrolment, jumpCode } = await makeEnrolment(store, { ...body.data, actor: caller.actor, now })
      return {
        resource: present(enrolmentKind, enrolment),
        jumpCode,
        command: agentCommand({ publicUrl: publicUrl(), jumpCode }),
      }
    },
    async delete({ params, query, caller }) {
      await store.transaction(caller.actor, (transaction) =>
        transaction.delete(
          enrolmentKind,
          params.id,
          query.version === undefined ? {} : { expectedVersion: query.version },
        ),
      )
      return undefined
    },
  }
}

/** Makes a JUMPCODE for a cluster; the store keeps its hash alone. Throws `not-found` where there is no such cluster. */
export async function makeEnrolment(
  store: Store,
  options: { clusterId: string; uses: number; expiresInSeconds: number; actor: Actor; now: () => number },
): Promise<{ enrolment: Enrolment; jumpCode: string }> {
  const { clusterId, uses, expiresInSeconds, actor, now } = options
  const { jumpCode, hash, prefix } = makeJumpCode()
  const expiresAt = new Date(now() + expiresInSeconds * 1000).toISOString()
  const enrolment = await store.transaction(actor, async (transaction) => {
    await getResource(transaction, clusterKind, clusterId)
    return transaction.create(enrolmentKind, { data: { clusterId, expiresAt, usesLeft: uses, prefix, hash } })
  })
  return { enrolment, jumpCode }
}

interface EnrolInput {
  jumpCode: string
  publicKey: string
  name: string
}

/** Exchanges JUMPCODEs for nodes; wrong codes are throttled by address. */
export function createEnrol(options: { store: Store; now: () => number }): Handlers<'agents'>['enrol'] {
  const { store, now } = options
  const throttle = createThrottle({ now })
  return async ({ body, client }) => {
    // Before the attempt counts: a wrong key is no guess at a code, and must not take earlier guesses back either.
    checkKey(body.publicKey)
    const attempt = throttle.begin({ account: undefined, address: client.address })
    const actor: Actor = { type: 'agent', id: 'enrolment', name: body.name }
    try {
      const answer = await store.transaction(actor, (transaction) => enrol(transaction, body, new Date(now())))
      attempt.succeeded()
      return answer
    } catch (error) {
      if (!(error instanceof FreeholdError && error.code === 'wrong-credentials')) attempt.succeeded()
      throw error
    }
  }
}

/**
 * Makes the node and takes one use from the code, together or not at all. A key that is registered already gets the
 * same node again, even if the answer to the first attempt was lost and the code is used up by it.
 */
async function enrol(transaction: Transaction, input: EnrolInput, now: Date) {
  const enrolment = await transaction.find(enrolmentKind, 'hash', hashJumpCode(input.jumpCode))
  const known = await transaction.find(nodeKind, 'publicKey', input.publicKey)
  if (enrolment === undefined || known === undefined) checkEnrolment(enrolment, now)
  const { clusterId, usesLeft } = enrolment.data
  const cluster = await getResource(transaction, clusterKind, clusterId)
  const answer = { clusterId, clusterName: cluster.data.name }
  if (known !== undefined) {
    if (known.data.clusterId !== clusterId) {
      throw new FreeholdError('conflict', 'This agent is a node of another cluster already. Delete that node first.')
    }
    if (known.data.revoked) {
      throw new FreeholdError(
        'conflict',
        'This agent was revoked. Delete the node, remove its key file and enrol again.',
      )
    }
    return { nodeId: known.id, ...answer }
  }
  await transaction.update(enrolmentKind, enrolment.id, { data: { ...enrolment.data, usesLeft: usesLeft - 1 } })
  const node = await transaction.create(nodeKind, {
    data: { clusterId, name: input.name, publicKey: input.publicKey, revoked: false },
  })
  return { nodeId: node.id, ...answer }
}

function checkKey(publicKey: string): void {
  try {
    const key = createPublicKey({ key: Buffer.from(publicKey, 'base64'), format: 'der', type: 'spki' })
    if (key.asymmetricKeyType === 'ed25519') return
  } catch (cause) {
    throw new FreeholdError('invalid-input', 'publicKey: not an Ed25519 key (SPKI, DER, base64).', { cause })
  }
  throw new FreeholdError('invalid-input', 'publicKey: not an Ed25519 key (SPKI, DER, base64).')
}

import { FreeholdError } from '@freehold/contracts'
import { backoffMs, type Clock, type Random } from '@freehold/reconcile'
import { type Log, sentenceOf } from '../log.ts'
import { type AgentState, createIdentity, type Identity } from '../state/index.ts'
import { reconnectBackoff } from './link.ts'
import type { Transport } from './transport.ts'

/**
 * The identity of this node, enrolling it where it has none. The key is on disk before its public half is sent, so
 * that an answer lost on the way can be asked for again with the same key. Retries while the control plane cannot be
 * reached; throws where it says no.
 */
export async function ensureEnrolled(
  options: {
    transport: Transport
    state: AgentState
    jumpCode: string | null
    name: string
    /** Asked anew for each attempt. */
    swarmNodeId: () => Promise<string | null>
    clock: Clock
    random: Random
    log: Log
  },
  signal: AbortSignal,
): Promise<Identity & { node: NonNullable<Identity['node']> }> {
  const { transport, state, jumpCode, name, clock, random, log } = options
  const stored = await state.readIdentity()
  if (stored?.node) return { ...stored, node: stored.node }
  if (jumpCode === null) {
    throw new FreeholdError(
      'invalid-input',
      'This node has not joined a cluster yet. Make a code with `freehold enrolment create` and give it as JUMPCODE.',
    )
  }
  const identity = stored ?? createIdentity()
  await state.writeIdentity(identity)
  for (let failures = 1; ; failures++) {
    try {
      const request = { jumpCode, publicKey: identity.publicKey, name, swarmNodeId: await options.swarmNodeId() }
      const node = await transport.enrol(request, signal)
      const enrolled = { ...identity, node }
      await state.writeIdentity(enrolled)
      log.info(`Joined the cluster ${node.clusterName}.`, { nodeId: node.nodeId, clusterId: node.clusterId })
      return enrolled
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof FreeholdError && !isPassing(error)) throw error
      const pauseMs = Math.max(backoffMs(reconnectBackoff, failures, random), retryAfterMs(error))
      log.warn('Could not join the cluster yet.', { reason: sentenceOf(error), retryInMs: Math.round(pauseMs) })
      await clock.sleep(pauseMs, signal)
      signal.throwIfAborted()
    }
  }
}

function isPassing(error: FreeholdError): boolean {
  return error.status >= 500 || error.code === 'too-many-requests'
}

function retryAfterMs(error: unknown): number {
  return error instanceof FreeholdError ? (error.retryAfterSeconds ?? 0) * 1000 : 0
}

/** What the device does next towards its control plane, and what an answer changes. Pure; contracts say the protocol. */
import type { Random } from '@freehold/reconcile'
import type { DeviceState, TokenLife } from '../state/index.ts'
import type { HeartbeatAnswer, RegisterAnswer } from './answers.ts'

/** How much of its tokens the control plane has refused since one last worked. */
export type Doubt = 'none' | 'newest' | 'all'

export type Call =
  | { kind: 'heartbeat'; token: string; which: 'newest' | 'previous' }
  | { kind: 'register'; bearer: string | null; joinToken: string | null }

/** The old node token goes along as proof where there is one; then the join token stands in the body. */
export function nextCall(options: { state: DeviceState; joinToken: string | null; doubt: Doubt }): Call {
  const { state, joinToken, doubt } = options
  if (doubt === 'none' && state.nodeToken !== null) {
    return { kind: 'heartbeat', token: state.nodeToken, which: 'newest' }
  }
  if (doubt === 'newest' && state.previousNodeToken !== null) {
    return { kind: 'heartbeat', token: state.previousNodeToken, which: 'previous' }
  }
  return { kind: 'register', bearer: state.nodeToken ?? joinToken, joinToken }
}

/** After a token was refused. */
export function doubtAfterRefusal(state: DeviceState, doubt: Doubt): Doubt {
  return doubt === 'none' && state.previousNodeToken !== null ? 'newest' : 'all'
}

/** A new token ends whatever there was before: registering means that none of it worked. */
export function afterAccepted(state: DeviceState, answer: Extract<RegisterAnswer, { state: 'accepted' }>): DeviceState {
  return {
    ...state,
    nodeToken: answer.nodeToken,
    previousNodeToken: null,
    tokenLife: lifeOf(answer.nodeTokenExpiresAt, answer.at),
  }
}

/**
 * The token that worked is kept; one that was offered becomes the newest beside it. A desired state counts only with
 * the generation that the answer names.
 */
export function afterHeartbeat(state: DeviceState, usedToken: string, answer: HeartbeatAnswer): DeviceState {
  const { nodeToken: offered, desiredState } = answer
  const isOffer = offered !== null && offered !== usedToken
  const tokens = isOffer
    ? {
        nodeToken: offered,
        previousNodeToken: usedToken,
        tokenLife: lifeOf(answer.nodeTokenExpiresAt, answer.at),
      }
    : {
        nodeToken: usedToken,
        previousNodeToken: null,
        // The life stored belongs to the newest token; with another one in use it is not known.
        tokenLife: usedToken === state.nodeToken ? state.tokenLife : null,
      }
  const isWish = desiredState !== null && desiredState.generation === answer.generation
  const desired = isWish ? { desiredState, generation: desiredState.generation } : {}
  const isGone = answer.generation === 0 && state.generation !== 0
  const next = { ...state, ...tokens, ...desired, ...(isGone ? { desiredState: null, generation: 0 } : {}) }
  const isSame =
    next.nodeToken === state.nodeToken &&
    next.previousNodeToken === state.previousNodeToken &&
    next.tokenLife === state.tokenLife &&
    next.generation === state.generation &&
    (!isWish || JSON.stringify(desiredState) === JSON.stringify(state.desiredState))
  return isSame ? state : next
}

/** With a third of its life left the device asks for a new token; judged by the server's clock. */
export function wantsRotation(life: TokenLife | null, serverNowMs: number | null): boolean {
  if (life === null || serverNowMs === null) return false
  return life.expiresAtMs - serverNowMs < life.lifetimeMs / 3
}

/** A tenth earlier or later, so that devices that began together drift apart. */
export function heartbeatPauseMs(intervalMs: number, random: Random): number {
  return intervalMs * (0.9 + random.next() * 0.2)
}

/** At least as long as asked for, and up to a half longer, so that not all come back at once. */
export function askedPauseMs(askedMs: number, random: Random): number {
  return askedMs * (1 + random.next() / 2)
}

/** The first call after a start, or after a token was refused by a server that may have lost them all. */
export function firstPauseMs(intervalMs: number, random: Random): number {
  return Math.min(intervalMs / 10, 5_000) * random.next()
}

function lifeOf(expiresAt: string | null, at: string): TokenLife | null {
  if (expiresAt === null) return null
  const expiresAtMs = Date.parse(expiresAt)
  return { expiresAtMs, lifetimeMs: Math.max(0, expiresAtMs - Date.parse(at)) }
}

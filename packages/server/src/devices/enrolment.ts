/**
 * What becomes of a registration, decided without any I/O.
 *
 * - A new device needs a good join token. A known one needs proof that it is that device, and no join token.
 * - Without proof nobody becomes a known device, whatever join token they hold, until an operator says so: once, for
 *   whoever was seen to claim it, or for the first to come with a known join token where nobody was seen.
 * - A revoked device stays out. Only `readopt` ends that.
 */

/** What is known of the join token that came. `used`: as often as it may be. */
export type JoinTokenVerdict = 'good' | 'missing' | 'unknown' | 'expired' | 'used' | 'revoked'

export interface Registration {
  device: { access: 'waiting' | 'allowed' | 'revoked'; readoptOpen: boolean } | undefined
  /** The node token or the secret of the first registration came with it. */
  hasProof: boolean
  /** Who claimed to be this device before, and whether it is the same again. */
  claim: 'none' | 'same' | 'other'
  joinToken: JoinTokenVerdict
  approval: 'automatic' | 'manual'
  /** So many wait already that no more may. */
  isQueueFull: boolean
}

export type RefusalReason =
  | 'join-token-missing'
  | 'join-token-unknown'
  | 'join-token-expired'
  | 'join-token-used'
  | 'join-token-revoked'
  | 'known-node'
  | 'revoked'
  | 'closed'

export type Decision =
  | { kind: 'create'; access: 'waiting' | 'allowed' }
  /** A known device gets a new node token. */
  | { kind: 'accept' }
  /** The operator's word is used up by this; the tokens before it end. */
  | { kind: 'readopt' }
  | { kind: 'wait' }
  | { kind: 'refuse'; reason: RefusalReason; isClaim: boolean }

export function decide(registration: Registration): Decision {
  const { device, hasProof, joinToken } = registration
  if (device === undefined) return decideNew(registration)
  if (device.readoptOpen && (hasProof || mayTakeOver(registration))) return { kind: 'readopt' }
  if (!hasProof) {
    // A known node with a useless join token is told of the token: that is what its owner can mend.
    const reason = joinToken === 'unknown' ? 'join-token-unknown' : 'known-node'
    return { kind: 'refuse', reason, isClaim: joinToken !== 'unknown' && joinToken !== 'missing' }
  }
  if (device.access === 'revoked') return { kind: 'refuse', reason: 'revoked', isClaim: false }
  return device.access === 'waiting' ? { kind: 'wait' } : { kind: 'accept' }
}

function decideNew({ joinToken, approval, isQueueFull }: Registration): Decision {
  if (joinToken !== 'good') return { kind: 'refuse', reason: `join-token-${joinToken}`, isClaim: false }
  if (approval === 'automatic') return { kind: 'create', access: 'allowed' }
  return isQueueFull ? { kind: 'refuse', reason: 'closed', isClaim: false } : { kind: 'create', access: 'waiting' }
}

/** A join token that was made here is needed, though it may be used up by this very device, or have expired since. */
function mayTakeOver({ claim, joinToken }: Registration): boolean {
  return claim !== 'other' && ['good', 'used', 'expired'].includes(joinToken)
}

/** For the person who looks at the device's log. No token is ever part of it. */
export const refusalMessages: Record<RefusalReason, string> = {
  'join-token-missing':
    'A join token is needed: set BASEOS_JOIN_TOKEN. `freehold join-tokens create` makes one on the control plane.',
  'join-token-unknown': 'This join token is not known here. Check BASEOS_CLOUDLY_URL and BASEOS_JOIN_TOKEN.',
  'join-token-expired': 'This join token has expired. Make a new one with `freehold join-tokens create`.',
  'join-token-used': 'This join token has been used by as many devices as it was made for. Make a new one.',
  'join-token-revoked': 'This join token was revoked. Make a new one with `freehold join-tokens create`.',
  'known-node':
    'A device with this node id is known here, and this registration does not prove to be it. If it was wiped, let it in with `freehold devices readopt`.',
  revoked: 'This device was revoked. `freehold devices readopt` lets it in again.',
  closed: 'So many devices wait for approval that no more are taken. Approve or delete some first.',
}

import type { Assignment } from '@freehold/contracts'
import { canonicalSignedJson } from '@freehold/contracts/lean'
import { createHash, createPublicKey, verify } from '../builtin.ts'
import { type Fields, isFields, parseJson } from '../parse.ts'
import { readAssignment } from './read-assignment.ts'
import { Refused } from './refusal.ts'

/** Who may sign assignments: the target `keys/assignments.json`. */
export interface AssignmentKeys {
  threshold: number
  /** Hexadecimal ed25519 public keys by their id. */
  publicKeys: ReadonlyMap<string, string>
}

/** What is known of the newest assignment that was trusted. */
export interface NewestAssignment {
  counter: number
  /** SHA-256 of its canonical JSON. */
  sha256: string
}

/** Null: not such a file. Keys of other kinds are left out. */
export function readAssignmentKeys(text: string): AssignmentKeys | null {
  const value = parseJson(text)
  if (!isFields(value) || !isFields(value.keys)) return null
  const { threshold } = value
  if (typeof threshold !== 'number' || !Number.isInteger(threshold) || threshold < 1) return null
  const publicKeys = new Map<string, string>()
  for (const [keyid, key] of Object.entries(value.keys)) {
    if (!isFields(key) || key.keytype !== 'ed25519' || key.scheme !== 'ed25519' || !isFields(key.keyval)) continue
    const { public: publicKey } = key.keyval
    if (typeof publicKey === 'string' && /^[0-9a-f]{64}$/.test(publicKey)) publicKeys.set(keyid, publicKey)
  }
  return { threshold, publicKeys }
}

/**
 * Whether an assignment is for this device and to be trusted; throws `Refused` where not. Its signature is judged before
 * anything it says. The same counter is taken again only with the same content. Where it has expired there is nothing
 * to be begun by it, so it is refused too.
 */
export function judgeAssignment(options: {
  /** What came with the desired state, unread. */
  assignment: unknown
  keys: AssignmentKeys
  nodeId: string
  newest: NewestAssignment | null
  nowMs: number
}): { assignment: Assignment; newest: NewestAssignment } {
  const { assignment: signedAssignment, keys, nodeId, newest, nowMs } = options
  const { signed, bytes } = signedContentOf(signedAssignment, keys)
  const assignment = readAssignment(signed)
  if (!assignment) throw new Refused('metadata-invalid', 'The assignment is signed, but this agent cannot read it.')
  if (assignment.nodeId !== nodeId) {
    throw new Refused('other-device', 'The assignment is for another device.')
  }
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  if (newest && assignment.counter < newest.counter) {
    throw new Refused('older-assignment', `Its counter is ${assignment.counter}, and ${newest.counter} was seen.`)
  }
  if (newest && assignment.counter === newest.counter && sha256 !== newest.sha256) {
    throw new Refused('older-assignment', `Its counter ${assignment.counter} was seen with another content.`)
  }
  if (Date.parse(assignment.expiresAt) <= nowMs) {
    throw new Refused('assignment-expired', `It was good until ${assignment.expiresAt}.`)
  }
  return { assignment, newest: { counter: assignment.counter, sha256 } }
}

/** The counter an assignment claims to have, whether to be trusted or not. */
export function claimedCounter(assignment: unknown): number | null {
  const signed = isFields(assignment) ? assignment.signed : null
  const counter = isFields(signed) ? signed.counter : null
  return typeof counter === 'number' && Number.isSafeInteger(counter) ? counter : null
}

function signedContentOf(value: unknown, keys: AssignmentKeys): { signed: Fields; bytes: Buffer } {
  if (!isFields(value) || !isFields(value.signed)) throw new Refused('unsigned', 'It is no signed assignment.')
  const signatures = Array.isArray(value.signatures) ? value.signatures.slice(0, 100) : []
  if (signatures.length === 0) throw new Refused('unsigned', 'The assignment has no signature.')
  let bytes: Buffer
  try {
    bytes = Buffer.from(canonicalSignedJson(value.signed))
  } catch (error) {
    throw new Refused('bad-signature', 'The assignment has no canonical JSON.', { cause: error })
  }
  // Counted by key, not by id: one key under two names is one signature.
  const signers = new Set<string>()
  for (const signature of signatures) {
    const { keyid, sig }: Fields = isFields(signature) ? signature : {}
    const publicKey = typeof keyid === 'string' ? keys.publicKeys.get(keyid) : undefined
    if (publicKey !== undefined && typeof sig === 'string' && isSignedBy(publicKey, bytes, sig)) signers.add(publicKey)
  }
  if (signers.size < keys.threshold) {
    const message = `${signers.size} good signatures, and ${keys.threshold} are needed.`
    throw new Refused('bad-signature', `The assignment has ${message}`)
  }
  return { signed: value.signed, bytes }
}

/** ed25519 (RFC 8032); key and signature in hexadecimal. */
function isSignedBy(publicKey: string, bytes: Buffer, signature: string): boolean {
  if (!/^[0-9a-f]{128}$/.test(signature)) return false
  const x = Buffer.from(publicKey, 'hex').toString('base64url')
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' })
  return verify(null, bytes, key, Buffer.from(signature, 'hex'))
}

import { type SignedMetadata, type UpdateRole, updateRoles } from '@freehold/contracts'
import { z } from 'zod'
import { keyidOf, type PublicKey, type Signature, soundSignatures } from './keys.ts'

/** What The Update Framework 1.0.34 says of the four roles' metadata (§4), and this repository's times. Pure. */

const specVersion = '1.0.34'
const day = 86_400_000
/** How long a signature of the role is good for. */
export const lifeMs: Record<UpdateRole, number> = {
  root: 365 * day,
  targets: 90 * day,
  snapshot: 7 * day,
  timestamp: day,
}

const hex = (bytes: number) => z.string().regex(new RegExp(`^[0-9a-f]{${bytes * 2}}$`), `${bytes} bytes in hexadecimal`)
const publicKeySchema = z.strictObject({
  keytype: z.literal('ed25519'),
  scheme: z.literal('ed25519'),
  keyval: z.strictObject({ public: hex(32) }),
})
const roleKeysSchema = z.strictObject({ keyids: z.array(hex(32)).min(1).max(32), threshold: z.int().min(1).max(32) })
/** `expires` has no fractions of a second (§4.2). */
const expiresSchema = z.iso.datetime({ precision: 0 })

/** Root metadata as we take it from people. */
export const rootSchema = z.strictObject({
  _type: z.literal('root'),
  spec_version: z.string().regex(/^1\.0(\.\d{1,6})?$/),
  consistent_snapshot: z.literal(true),
  version: z.int().min(1),
  expires: expiresSchema,
  keys: z.record(hex(32), publicKeySchema),
  roles: z.strictObject({
    root: roleKeysSchema,
    targets: roleKeysSchema,
    snapshot: roleKeysSchema,
    timestamp: roleKeysSchema,
  }),
})
export type Root = z.output<typeof rootSchema>

interface Metadata {
  _type: UpdateRole
  spec_version: string
  version: number
  expires: string
}
export interface TargetFile {
  length: number
  hashes: { sha256: string }
}
export interface Targets extends Metadata {
  targets: Record<string, TargetFile>
}
interface MetaFile extends TargetFile {
  version: number
}
interface Meta extends Metadata {
  meta: Record<string, MetaFile>
}
export interface SignedBy {
  root: Root
  targets: Targets
  snapshot: Meta
  timestamp: Meta
}
export interface Signed<Role extends UpdateRole = UpdateRole> {
  signed: SignedBy[Role]
  signatures: Signature[]
}

export function headOf<Role extends UpdateRole>(role: Role, { version, nowMs }: { version: number; nowMs: number }) {
  return { _type: role, spec_version: specVersion, version, expires: secondsIso(nowMs + lifeMs[role]) }
}

/** RFC 3339 without fractions, rounded down. */
export function secondsIso(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`
}

/**
 * The version after `current`: seconds since 1970, so that a repository restored from a backup goes on above every
 * version that devices may have seen. Root alone counts by one (§5.3.3).
 */
export function versionAfter(current: number, nowMs: number): number {
  return Math.max(current + 1, Math.floor(nowMs / 1000))
}

/** True from half life on; `signed` undefined: there is none yet. */
export function isDue(role: UpdateRole, signed: { expires: string } | undefined, nowMs: number): boolean {
  return signed === undefined || dueAtMs(role, signed) <= nowMs
}
export function dueAtMs(role: UpdateRole, { expires }: { expires: string }): number {
  return Date.parse(expires) - lifeMs[role] / 2
}

/** True where enough keys of the role, as this root names them, have signed. */
export function meetsThreshold(root: Root, role: UpdateRole, { signed, signatures }: SignedMetadata | Signed): boolean {
  return soundSignatures(signed, signatures, keysOf(root, role)).length >= root.roles[role].threshold
}

/** The public keys of a role. */
export function keysOf(root: Root, role: UpdateRole): Record<string, PublicKey> {
  const named = root.roles[role].keyids.flatMap((keyid) => {
    const key = root.keys[keyid]
    return key === undefined ? [] : [[keyid, key] as const]
  })
  return Object.fromEntries(named)
}

/**
 * True where metadata in the store are signed as this root asks. No signature is verified: only sound ones are ever
 * stored, and a key is its id. Targets of thousands of releases would cost a tenth of a second otherwise, each time.
 */
export function isSignedAs(root: Root, role: UpdateRole, { signatures }: Pick<Signed, 'signatures'>): boolean {
  return suffices(
    root,
    role,
    signatures.map(({ keyid }) => keyid),
  )
}

/** True where these keys alone make valid metadata of the role. */
export function suffices(root: Root, role: UpdateRole, keyids: Iterable<string>): boolean {
  const named = new Set(root.roles[role].keyids)
  return new Set([...keyids].filter((keyid) => named.has(keyid))).size >= root.roles[role].threshold
}

/**
 * What is wrong with a root as the one after `old` (§5.3.4 to §5.3.7 and §4.3), signatures aside, as a sentence;
 * undefined: nothing.
 */
export function faultOfRoot(root: Root, { old, nowMs }: { old: Root; nowMs: number }): string | undefined {
  if (root.version !== old.version + 1) {
    return `Its version is ${root.version}; after root ${old.version} comes ${old.version + 1}. Make it from the root in force.`
  }
  if (Date.parse(root.expires) <= nowMs) return `It expired at ${root.expires}. Make it with a later expiry.`
  for (const [keyid, key] of Object.entries(root.keys)) {
    if (keyidOf(key) !== keyid) return `The key ${keyid} is not named by the SHA-256 of its canonical JSON.`
  }
  for (const role of updateRoles) {
    const { keyids, threshold } = root.roles[role]
    if (new Set(keyids).size !== keyids.length) return `The role ${role} names a key twice.`
    if (threshold > keyids.length) {
      return `The role ${role} asks for ${threshold} signatures and has ${keyids.length} keys: nobody could sign it.`
    }
    const unknown = keyids.find((keyid) => root.keys[keyid] === undefined)
    if (unknown !== undefined) return `The role ${role} names the key ${unknown}, which is not among its keys.`
  }
  return undefined
}

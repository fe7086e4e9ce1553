import { FreeholdError, type UpdateRole, updateKeyKind, updateRoles } from '@freehold/contracts'
import type { Transaction } from '@freehold/store'
import { type Current, type InForce, putMetadata, readCurrent, type Stored } from './current.ts'
import { type Keyring, publicKeyOf, signWith } from './keys.ts'
import {
  dueAtMs,
  headOf,
  isDue,
  isSignedAs,
  lifeMs,
  type Root,
  type Signed,
  type SignedBy,
  suffices,
  versionAfter,
} from './metadata.ts'
import { type DesiredTargets, desiredTargets, fileOf, noteSigned } from './target-files.ts'

export type OnPublished = (transaction: Transaction, releaseIds: readonly string[]) => Promise<void>
export interface Repository {
  /** `isAfresh`: signs targets, snapshot and timestamp whether they are due or not. */
  settle(transaction: Transaction, options?: { isAfresh: boolean }): Promise<InForce>
  /** These targets have come into force. */
  published(transaction: Transaction, desired: DesiredTargets): Promise<void>
}

interface Moment {
  nowMs: number
  isDue: (role: UpdateRole, signed: { expires: string }) => boolean
}

/**
 * `settle` brings the metadata into the state that keys, targets and time ask for, as far as the keys that are here suffice.
 * Everything that changes anything calls this in its own transaction, the loop with nothing else in it; so what is
 * served is whole after every commit, whoever died when.
 */
export function createRepository(options: {
  keyring: Keyring
  now: () => number
  onPublished: OnPublished
}): Repository {
  const { keyring, now, onPublished } = options

  return { settle, published }

  async function settle(transaction: Transaction, { isAfresh } = { isAfresh: false }): Promise<InForce> {
    const nowMs = now()
    const at: Moment = { nowMs, isDue: (role, signed) => isAfresh || isDue(role, signed, nowMs) }
    await retireAssignmentKeys(transaction, nowMs)
    const before = await readCurrent(transaction)
    const root = await settleRoot(transaction, before.root, nowMs)
    const targets = await settleTargets(transaction, { root, current: before.targets, at })
    const inForce = { ...before, root, targets }
    const snapshot = await settleMeta(transaction, { role: 'snapshot', inForce, about: targets, at })
    const timestamp = await settleMeta(transaction, { role: 'timestamp', inForce, about: snapshot, at })
    return { root, targets, snapshot, timestamp }
  }

  /** The first one with keys for all roles; later ones prolonged where the root keys are here. */
  async function settleRoot(
    transaction: Transaction,
    current: Stored<'root'> | undefined,
    nowMs: number,
  ): Promise<Stored<'root'>> {
    if (current === undefined) return makeFirstRoot(transaction, nowMs)
    if (!isDue('root', current.signed, nowMs) || !(await isHere(transaction, current.signed, 'root'))) return current
    const { version } = current.signed
    return sign(transaction, 'root', {
      root: current.signed,
      signed: { ...current.signed, ...headOf('root', { version: version + 1, nowMs }) },
    })
  }

  async function makeFirstRoot(transaction: Transaction, nowMs: number): Promise<Stored<'root'>> {
    const keys: Root['keys'] = {}
    const roles: Partial<Root['roles']> = {}
    for (const role of updateRoles) {
      const { data } = await keyring.make(transaction, role)
      keys[data.keyid] = publicKeyOf(data.publicKey)
      roles[role] = { keyids: [data.keyid], threshold: 1 }
    }
    await keyring.make(transaction, 'assignment')
    const head = headOf('root', { version: 1, nowMs })
    const signed: Root = { ...head, consistent_snapshot: true, keys, roles: roles as Root['roles'] }
    return sign(transaction, 'root', { root: signed, signed })
  }

  async function settleTargets(
    transaction: Transaction,
    { root, current, at }: { root: Stored<'root'>; current: Stored<'targets'> | undefined; at: Moment },
  ): Promise<Stored<'targets'>> {
    const desired = await desiredTargets(transaction, {
      current: current?.signed.targets ?? {},
      assignmentKeys: await keyring.held(transaction, 'assignment'),
    })
    const isSound = current !== undefined && isSignedAs(root.signed, 'targets', current)
    if (
      current !== undefined &&
      (!(await isHere(transaction, root.signed, 'targets')) ||
        (isSound && !desired.isPending && !at.isDue('targets', current.signed)))
    ) {
      return current
    }
    const { nowMs } = at
    const version = versionAfter(current?.signed.version ?? 0, nowMs)
    const targets = await sign(transaction, 'targets', {
      root: root.signed,
      signed: { ...headOf('targets', { version, nowMs }), targets: desired.targets },
    })
    await published(transaction, desired)
    return targets
  }

  /** Snapshot tells of targets, timestamp of snapshot; their keys are always here. */
  async function settleMeta<Role extends 'snapshot' | 'timestamp'>(
    transaction: Transaction,
    options: { role: Role; inForce: Current; about: Stored<'targets'> | Stored<'snapshot'>; at: Moment },
  ): Promise<Stored<Role>> {
    const { role, inForce, about, at } = options
    const current = inForce[role] as Stored<Role> | undefined
    const root = (inForce.root as Stored<'root'>).signed
    const told = { version: about.signed.version, ...fileOf(about.text) }
    const name = `${about.signed._type}.json`
    if (
      current !== undefined &&
      (current.signed as SignedBy['snapshot']).meta[name]?.hashes.sha256 === told.hashes.sha256 &&
      isSignedAs(root, role, current) &&
      !(at.isDue(role, current.signed) && (await isHere(transaction, root, role)))
    ) {
      return current
    }
    const { nowMs } = at
    const version = versionAfter(current?.signed.version ?? 0, nowMs)
    const signed = { ...headOf(role, { version, nowMs }), meta: { [name]: told } } as SignedBy[Role]
    return sign(transaction, role, { root, signed })
  }

  /** Whether the keys that are here alone make valid metadata of the role. */
  async function isHere(transaction: Transaction, root: Root, role: UpdateRole): Promise<boolean> {
    const usable = await keyring.usable(transaction, role)
    return suffices(
      root,
      role,
      usable.map(({ data }) => data.keyid),
    )
  }

  async function published(transaction: Transaction, desired: DesiredTargets): Promise<void> {
    const releaseIds = await noteSigned(transaction, desired)
    const keys = await keyring.held(transaction, 'assignment')
    const at = new Date(now()).toISOString()
    for (const { id, status } of keys) {
      if (status.publishedAt === null) await transaction.setStatus(updateKeyKind, id, { publishedAt: at })
    }
    if (releaseIds.length > 0) await onPublished(transaction, releaseIds)
  }

  /** A key that was replaced goes once every device that holds metadata in force must know the newer one. */
  async function retireAssignmentKeys(transaction: Transaction, nowMs: number): Promise<void> {
    const keys = await keyring.held(transaction, 'assignment')
    const known = keys.findLast(
      ({ status }) => status.publishedAt !== null && Date.parse(status.publishedAt) + lifeMs.timestamp <= nowMs,
    )
    const old = keys.slice(0, known === undefined ? 0 : keys.indexOf(known))
    for (const { id } of old) await transaction.delete(updateKeyKind, id)
  }

  async function sign<Role extends UpdateRole>(
    transaction: Transaction,
    role: Role,
    { root, signed }: { root: Root; signed: SignedBy[Role] },
  ): Promise<Stored<Role>> {
    const held = await keyring.usable(transaction, role)
    const named = held.filter(({ data }) => root.roles[role].keyids.includes(data.keyid))
    const next: Signed<Role> = { signed, signatures: signWith(keyring.open(named), signed) }
    if (!isSignedAs(root, role, next)) throw keyElsewhere(role)
    return putMetadata(transaction, next)
  }
}

/** When something falls due for a signature of ours. */
export function nextDueMs(inForce: InForce): number {
  return Math.min(...updateRoles.map((role) => dueAtMs(role, inForce[role].signed)))
}

function keyElsewhere(role: UpdateRole): FreeholdError {
  return new FreeholdError(
    'conflict',
    `The keys of the role ${role} that are here do not make as many signatures as the root metadata ask for. Publish a root that asks for one, by a key that is here: \`freehold updates rotate ${role}\` makes it.`,
  )
}

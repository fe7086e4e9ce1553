import {
  FreeholdError,
  type SignedMetadata,
  type UpdateKey,
  type UpdateRole,
  updateKeyKind,
  updateRoles,
} from '@freehold/contracts'
import type { Transaction } from '@freehold/store'
import { type InForce, newestOf, putMetadata, type Stored } from './current.ts'
import { type KeyRole, type Keyring, publicKeyOf, signWith, soundSignatures } from './keys.ts'
import { faultOfRoot, headOf, keysOf, meetsThreshold, type Root, rootSchema, type Signed } from './metadata.ts'
import type { Repository } from './repository.ts'

/** Keys that sign assignments at one time: each rotation adds one until the older ones are out of use. */
const assignmentKeysAtMost = 4

export interface Rotated {
  keyid: string
  publicKey: string
  /** False: metadata signed elsewhere must name it first. */
  isPublished: boolean
}

/** Changes of keys: roots that people signed, and new keys of our own. */
export function createRoots(options: { keyring: Keyring; repository: Repository; now: () => number }) {
  const { keyring, repository, now } = options

  /**
   * Takes the next root (TUF 1.0.34 §5.3.4 to §5.3.7): signed by the old threshold and the new, the root key that is
   * here adding its signature. Refuses, with `conflict`, what would leave devices with metadata that the new root
   * does not accept.
   */
  async function publish(transaction: Transaction, given: SignedMetadata): Promise<void> {
    const old = await rootInForce(transaction)
    const parsed = rootSchema.safeParse(given.signed)
    if (!parsed.success) {
      const [issue] = parsed.error.issues
      throw new FreeholdError('invalid-input', `This is no root metadata: ${issue?.path.join('.')}: ${issue?.message}.`)
    }
    const fault = faultOfRoot(parsed.data, { old: old.signed, nowMs: now() })
    if (fault !== undefined) throw refused(fault)
    const next = await withOwnSignatures(transaction, {
      old: old.signed,
      signed: parsed.data,
      signatures: given.signatures,
    })
    for (const [root, which] of [
      [old.signed, 'the root in force'],
      [parsed.data, 'the new root'],
    ] as const) {
      if (!meetsThreshold(root, 'root', next)) {
        const { keyids, threshold } = root.roles.root
        const sound = soundSignatures(next.signed, next.signatures, keysOf(root, 'root'))
        throw refused(
          `${sound.length} of the ${threshold} signatures that ${which} asks for are there. Sign it with more of: ${keyids.join(', ')}.`,
        )
      }
    }
    await putMetadata(transaction, next)
    await forgetUnnamed(transaction, {
      old: old.signed,
      next: parsed.data,
      roles: ['targets', 'snapshot', 'timestamp'],
    })
    refuseBroken(await repository.settle(transaction))
  }

  /** Without signing anything where there is one: a key that cannot be read must not stand in the way of its successor. */
  async function rootInForce(transaction: Transaction): Promise<Stored<'root'>> {
    return (await newestOf(transaction, 'root')) ?? (await repository.settle(transaction)).root
  }

  async function withOwnSignatures(
    transaction: Transaction,
    { old, signed, signatures }: { old: Root; signed: Root; signatures: SignedMetadata['signatures'] },
  ): Promise<Signed<'root'>> {
    const keys = { ...keysOf(old, 'root'), ...keysOf(signed, 'root') }
    const held = (await keyring.usable(transaction, 'root')).filter(({ data }) => Object.hasOwn(keys, data.keyid))
    const own = signWith(keyring.open(held), signed)
    return { signed, signatures: soundSignatures(signed, [...signatures, ...own], keys) }
  }

  /** Replaces the keys of a role that are here by a new one, or prepares that where the root is signed elsewhere. */
  async function rotate(transaction: Transaction, role: KeyRole): Promise<Rotated> {
    const { signed: old } = await rootInForce(transaction)
    if (role === 'assignment') return rotateAssignment(transaction)
    const held = await keyring.held(transaction, role)
    const isNamed = ({ data }: UpdateKey) => old.roles[role].keyids.includes(data.keyid)
    if (!held.some(isNamed)) {
      throw refused(
        `The keys of ${role} are elsewhere. Make one there with \`freehold updates key create\`, and name it with \`freehold updates root sign\`.`,
      )
    }
    const { data: fresh } =
      held.find((row) => !isNamed(row) && keyring.isReadable(row)) ?? (await keyring.make(transaction, role))
    const signed = rootWith(old, { role, gone: held.filter(isNamed), fresh, nowMs: now() })
    const next = await withOwnSignatures(transaction, { old, signed, signatures: [] })
    const isPublished = meetsThreshold(old, 'root', next) && meetsThreshold(signed, 'root', next)
    if (isPublished) {
      const fault = faultOfRoot(signed, { old, nowMs: now() })
      if (fault !== undefined) throw refused(fault)
      await putMetadata(transaction, next)
      await forgetUnnamed(transaction, { old, next: signed, roles: updateRoles })
      refuseBroken(await repository.settle(transaction))
    }
    return { keyid: fresh.keyid, publicKey: fresh.publicKey, isPublished }
  }

  async function rotateAssignment(transaction: Transaction): Promise<Rotated> {
    for (const row of await keyring.held(transaction, 'assignment')) {
      if (!keyring.isReadable(row)) await transaction.delete(updateKeyKind, row.id)
    }
    const held = await keyring.held(transaction, 'assignment')
    if (held.length >= assignmentKeysAtMost) {
      throw refused(
        'Its last keys are in use still: one goes a day after targets that name its successor were published.',
      )
    }
    const waiting = held.find(({ status }) => status.publishedAt === null)
    const { id, data } = waiting ?? (await keyring.make(transaction, 'assignment'))
    await repository.settle(transaction)
    const made = await transaction.get(updateKeyKind, id)
    const isPublished = made !== undefined && made.status.publishedAt !== null
    return { keyid: data.keyid, publicKey: data.publicKey, isPublished }
  }

  /** Throws `conflict` while the root in force names it. */
  async function dropRootKey(transaction: Transaction): Promise<void> {
    const root = await rootInForce(transaction)
    const held = await keyring.held(transaction, 'root')
    if (held.length === 0) throw refused('There is no root key here.')
    const named = held.find(({ data }) => root.signed.roles.root.keyids.includes(data.keyid))
    if (named !== undefined) {
      throw refused(
        `The root in force names it. First publish one that does not: \`freehold updates root sign --role root --remove-key ${named.data.keyid} --key FILE --publish\`.`,
      )
    }
    for (const { id } of held) await transaction.delete(updateKeyKind, id)
  }

  /** Keys that were in use and are not any more. */
  async function forgetUnnamed(
    transaction: Transaction,
    { old, next, roles }: { old: Root; next: Root; roles: readonly UpdateRole[] },
  ): Promise<void> {
    for (const role of roles) {
      for (const { id, data } of await keyring.held(transaction, role)) {
        const isGone = old.roles[role].keyids.includes(data.keyid) && !next.roles[role].keyids.includes(data.keyid)
        if (isGone) await transaction.delete(updateKeyKind, id)
      }
    }
  }

  return { publish, rotate, dropRootKey }
}

/** The next root, in which `fresh` stands for the keys that are gone. */
function rootWith(
  old: Root,
  change: { role: UpdateRole; gone: readonly UpdateKey[]; fresh: UpdateKey['data']; nowMs: number },
): Root {
  const { role, gone, fresh, nowMs } = change
  const keyids = old.roles[role].keyids.filter((keyid) => gone.every(({ data }) => data.keyid !== keyid))
  const roles = { ...old.roles, [role]: { ...old.roles[role], keyids: [...keyids, fresh.keyid] } }
  const all: Root['keys'] = { ...old.keys, [fresh.keyid]: publicKeyOf(fresh.publicKey) }
  const used = new Set(updateRoles.flatMap((each) => roles[each].keyids))
  const keys = Object.fromEntries(Object.entries(all).filter(([keyid]) => used.has(keyid)))
  return { ...old, ...headOf('root', { version: old.version + 1, nowMs }), keys, roles }
}

/** Throws `conflict` where a device that follows the newest root would refuse the rest. */
function refuseBroken(inForce: InForce): void {
  for (const role of updateRoles) {
    if (meetsThreshold(inForce.root.signed, role, inForce[role])) continue
    throw refused(
      `Devices would refuse the ${role} metadata in force, which its keys have not signed. Name new keys beside the old ones first, publish ${role} metadata signed by them (\`freehold updates ${role} sign\`), and take the old keys away after that.`,
    )
  }
}

function refused(sentence: string): FreeholdError {
  return new FreeholdError('conflict', sentence)
}

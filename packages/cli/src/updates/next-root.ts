import { type UpdateRole, updateRoles } from '@freehold/contracts'
import { z } from 'zod'
import { CliError, exitCodes } from '../exit-codes.ts'
import type { NamedKey } from './signing-keys.ts'

const roleKeys = z.object({ keyids: z.array(z.string()), threshold: z.int() })
/** As much of root metadata as is changed and shown here; the control plane judges the whole. */
export const rootSchema = z.looseObject({
  _type: z.literal('root'),
  version: z.int(),
  expires: z.string(),
  keys: z.record(
    z.string(),
    z.object({
      keytype: z.literal('ed25519'),
      scheme: z.literal('ed25519'),
      keyval: z.object({ public: z.string() }),
    }),
  ),
  roles: z.object({ root: roleKeys, targets: roleKeys, snapshot: roleKeys, timestamp: roleKeys }),
})
export type Root = z.output<typeof rootSchema>

export interface RootChange {
  role: UpdateRole
  add: readonly NamedKey[]
  /** Ids, or their first characters. */
  remove: readonly string[]
  threshold: number | undefined
  /** Days from now. */
  expiresInDays: number
}

/** The root after this one, with the change of one role's keys; pure. Throws what cannot be meant. */
export function nextRoot(root: Root, change: RootChange, now: Date): Root {
  const { role, add, threshold, expiresInDays } = change
  const before = root.roles[role]
  const removed = change.remove.map((start) => findKey(before.keyids, start, role))
  const kept = before.keyids.filter((keyid) => !removed.includes(keyid))
  const keyids = [...new Set([...kept, ...add.map(({ keyid }) => keyid)])]
  const roles = { ...root.roles, [role]: { keyids, threshold: threshold ?? before.threshold } }
  if (roles[role].threshold > keyids.length) {
    throw new CliError(
      exitCodes.usage,
      `The role ${role} would have ${keyids.length} keys and ask for ${roles[role].threshold} signatures.`,
      'Add keys with --add-key, or lower the number with --threshold.',
    )
  }
  const used = new Set(updateRoles.flatMap((each) => roles[each].keyids))
  const all = { ...root.keys, ...Object.fromEntries(add.map(({ keyid, key }) => [keyid, key])) }
  return {
    ...root,
    version: root.version + 1,
    expires: `${new Date(now.getTime() + expiresInDays * 86_400_000).toISOString().slice(0, 19)}Z`,
    keys: Object.fromEntries(Object.entries(all).filter(([keyid]) => used.has(keyid))),
    roles,
  }
}

/** What a root says, for who is about to sign it. */
export function describeRoot(root: Root): string[] {
  return [
    `Root ${root.version}, good until ${root.expires}`,
    ...updateRoles.map((role) => {
      const { keyids, threshold } = root.roles[role]
      return `  ${role}: ${threshold} of ${keyids.map((keyid) => keyid.slice(0, 16)).join(', ')}`
    }),
  ]
}

function findKey(keyids: readonly string[], start: string, role: UpdateRole): string {
  const found = keyids.filter((keyid) => keyid.startsWith(start))
  if (found.length === 1 && found[0] !== undefined && start.length >= 8) return found[0]
  throw new CliError(
    exitCodes.usage,
    `${start} is not one key of ${role}.`,
    `Its keys are: ${keyids.join(', ')}. Give the whole id, or at least its first 8 characters.`,
  )
}

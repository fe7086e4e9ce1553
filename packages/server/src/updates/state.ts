import {
  type UpdateKey,
  type UpdateRole,
  type UpdatesState,
  updateKeyKind,
  updateRoles,
  updateTargetKind,
} from '@freehold/contracts'
import type { Reads } from '@freehold/store'
import { type InForce, readCurrent } from './current.ts'
import { isSignedAs, lifeMs, suffices } from './metadata.ts'
import { desiredTargets } from './target-files.ts'

const day = 86_400_000

/** How the signed channel stands; undefined before its first use. */
export async function readState(reads: Reads, nowMs: number): Promise<UpdatesState | undefined> {
  const { root, targets, snapshot, timestamp } = await readCurrent(reads)
  if (root === undefined || targets === undefined || snapshot === undefined || timestamp === undefined) return undefined
  const inForce = { root, targets, snapshot, timestamp }
  const held = await reads.all(updateKeyKind)
  const waiting = await reads.all(updateTargetKind, { where: { pending: 'waiting' } })
  const withdrawn = await reads.count(updateTargetKind, { where: { pending: 'withdrawn' } })
  const desired = await desiredTargets(reads, {
    current: targets.signed.targets,
    assignmentKeys: held.filter(({ data }) => data.role === 'assignment'),
  })
  const unsignedReleases = new Set(waiting.flatMap(({ data }) => data.releaseId ?? [])).size
  return {
    roles: {
      root: stateOf('root', inForce, held),
      targets: stateOf('targets', inForce, held),
      snapshot: stateOf('snapshot', inForce, held),
      timestamp: stateOf('timestamp', inForce, held),
    },
    unsignedReleases,
    problems: [
      ...updateRoles.flatMap((role) => expiryProblem(role, { inForce, held, nowMs })),
      ...(desired.isPending ? [pendingProblem({ unsignedReleases, withdrawn })] : []),
      ...held.flatMap((key) => waitingKeyProblem(key, inForce)),
    ],
  }
}

function stateOf(role: UpdateRole, inForce: InForce, held: readonly UpdateKey[]): UpdatesState['roles'][UpdateRole] {
  const { keys, roles } = inForce.root.signed
  const { version, expires } = inForce[role].signed
  const here = new Set(held.filter(({ data }) => data.role === role).map(({ data }) => data.keyid))
  return {
    version,
    expiresAt: expires,
    threshold: roles[role].threshold,
    keys: roles[role].keyids.map((keyid) => ({
      keyid,
      publicKey: keys[keyid]?.keyval.public ?? '',
      isHere: here.has(keyid),
    })),
  }
}

/** Said from the last third of a signature's life on: before that the control plane signs anew by itself. */
function expiryProblem(
  role: UpdateRole,
  { inForce, held, nowMs }: { inForce: InForce; held: readonly UpdateKey[]; nowMs: number },
): string[] {
  const { root } = inForce
  const { expires } = inForce[role].signed
  const leftMs = Date.parse(expires) - nowMs
  const isSound = isSignedAs(root.signed, role, inForce[role])
  if (leftMs > lifeMs[role] / 3 && isSound) return []
  const keyids = held.filter(({ data }) => data.role === role).map(({ data }) => data.keyid)
  const what = !isSound
    ? `The ${role} metadata are not signed by the keys that the root names: devices refuse them.`
    : leftMs <= 0
      ? `The ${role} metadata expired at ${expires}: devices refuse every update.`
      : `The ${role} metadata expire at ${expires}, in ${Math.ceil(leftMs / day)} days; devices refuse every update after that.`
  const remedy = suffices(root.signed, role, keyids)
    ? 'Its key is here and should have signed long ago: look into the log of the control plane.'
    : `Its key is elsewhere: sign there with \`freehold updates ${role} sign --key FILE --publish\`.`
  return [`${what} ${remedy}`]
}

function pendingProblem({ unsignedReleases, withdrawn }: { unsignedReleases: number; withdrawn: number }): string {
  const what = [
    ...(unsignedReleases > 0 ? [`${unsignedReleases} ${unsignedReleases === 1 ? 'release' : 'releases'} to add`] : []),
    ...(withdrawn > 0 ? [`${withdrawn} withdrawn ${withdrawn === 1 ? 'file' : 'files'} to take out`] : []),
  ]
  const about = what.length === 0 ? 'new keys of assignments' : what.join(', ')
  return `New targets metadata wait for a signature (${about}): \`freehold updates targets sign --key FILE --publish\`.`
}

function waitingKeyProblem({ data }: UpdateKey, { root }: InForce): string[] {
  const { role, keyid, publicKey } = data
  if (role === 'assignment' || root.signed.roles[role].keyids.includes(keyid)) return []
  if (role === 'root') {
    return [
      'A root key is here that the root metadata do not need any more: `freehold updates drop-root-key` forgets it.',
    ]
  }
  const [old, ...others] = root.signed.roles[role].keyids
  const change = `--add-key ${publicKey} --remove-key ${others.length === 0 ? old : 'OLD'}`
  return [
    `A new key of ${role} waits for a root that names it: \`freehold updates root sign --role ${role} ${change} --key FILE --publish\`.`,
  ]
}

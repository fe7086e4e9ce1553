import { createHash } from 'node:crypto'
import {
  assignmentKeysTarget,
  canonicalSignedJson,
  FreeholdError,
  type UpdateKey,
  type UpdateTarget,
  updateTargetKind,
} from '@freehold/contracts'
import type { Reads, Transaction } from '@freehold/store'
import { publicKeyOf } from './keys.ts'
import type { TargetFile } from './metadata.ts'

/** A file of a release that is to be signed. Its bytes are `text`, or the blob of that digest, which is there already. */
export interface ReleaseFile {
  path: string
  text?: string
  blobDigest?: string
  /** Hexadecimal. */
  sha256: string
  sizeBytes: number
}

/** What the next targets metadata shall name, and what of it the last did not. */
export interface DesiredTargets {
  targets: Record<string, TargetFile>
  waiting: UpdateTarget[]
  withdrawn: UpdateTarget[]
  assignmentKeys: string
  /** False: the metadata in force say all of this. */
  isPending: boolean
}

/** Segments of letters, digits and `._-+`, none of them `.` or `..`: nothing that a URL or a file system reads another way. */
const path = /^(?!.*(?:^|\/)\.{1,2}(?:\/|$))[A-Za-z0-9._+-]+(?:\/[A-Za-z0-9._+-]+)*$/

/** Text of the target that says which keys sign assignments. */
function assignmentKeysText(keys: readonly UpdateKey[]): string {
  const named = keys.map(({ data: { keyid, publicKey } }) => [keyid, publicKeyOf(publicKey)] as const)
  return canonicalSignedJson({ threshold: 1, keys: Object.fromEntries(named) })
}

export async function desiredTargets(
  reads: Reads,
  { current, assignmentKeys }: { current: Record<string, TargetFile>; assignmentKeys: readonly UpdateKey[] },
): Promise<DesiredTargets> {
  const waiting = await reads.all(updateTargetKind, { where: { pending: 'waiting' } })
  const withdrawn = await reads.all(updateTargetKind, { where: { pending: 'withdrawn' } })
  const text = assignmentKeysText(assignmentKeys)
  const targets = { ...current }
  for (const { data } of withdrawn) {
    if (targets[data.path]?.hashes.sha256 === data.sha256) delete targets[data.path]
  }
  for (const { data } of waiting) targets[data.path] = { length: data.sizeBytes, hashes: { sha256: data.sha256 } }
  targets[assignmentKeysTarget] = fileOf(text)
  const isPending =
    waiting.length + withdrawn.length > 0 || current[assignmentKeysTarget]?.hashes.sha256 !== sha256Of(text)
  return { targets, waiting, withdrawn, assignmentKeys: text, isPending }
}

/** The metadata that name `desired` are in force. Answers the releases that became signed by it. */
export async function noteSigned(transaction: Transaction, desired: DesiredTargets): Promise<string[]> {
  const releaseIds = new Set<string>()
  for (const { id } of desired.withdrawn) await transaction.delete(updateTargetKind, id)
  for (const { id, data } of desired.waiting) {
    await transaction.setStatus(updateTargetKind, id, { state: 'signed' })
    if (data.releaseId !== null) releaseIds.add(data.releaseId)
  }
  await putAssignmentKeys(transaction, desired.assignmentKeys)
  return [...releaseIds]
}

async function putAssignmentKeys(transaction: Transaction, text: string): Promise<void> {
  const data = {
    path: assignmentKeysTarget,
    sha256: sha256Of(text),
    sizeBytes: Buffer.byteLength(text),
    text,
    releaseId: null,
  }
  const stored = await transaction.find(updateTargetKind, 'path', assignmentKeysTarget)
  if (stored !== undefined) await transaction.update(updateTargetKind, stored.id, { data })
  else await transaction.create(updateTargetKind, { data, status: { state: 'signed' } })
}

/** Throws `invalid-input` for a file that cannot be a target, `already-exists` where another has its path. */
export async function addFile(transaction: Transaction, releaseId: string, file: ReleaseFile): Promise<void> {
  const { sha256, sizeBytes, text } = file
  const fault = faultOf(file)
  if (fault !== undefined) throw new FreeholdError('invalid-input', fault)
  const stored = await transaction.find(updateTargetKind, 'path', file.path)
  if (stored !== undefined) {
    if (stored.data.releaseId === releaseId && stored.data.sha256 === sha256) return
    throw new FreeholdError(
      'already-exists',
      `${file.path} is another release's file already. Choose another version, or withdraw that release.`,
    )
  }
  await transaction.create(updateTargetKind, {
    data: { path: file.path, sha256, sizeBytes, text: text ?? null, releaseId },
  })
}

function faultOf({ path: name, text, blobDigest, sha256, sizeBytes }: ReleaseFile): string | undefined {
  if (!path.test(name) || name.length > 300 || name.startsWith('metadata/') || name === assignmentKeysTarget) {
    return `${JSON.stringify(name.slice(0, 100))} cannot be the path of a signed file.`
  }
  if ((text === undefined) === (blobDigest === undefined)) return `${name} needs either a text or a blob.`
  const isSame =
    text === undefined
      ? blobDigest === `sha256:${sha256}`
      : sha256Of(text) === sha256 && Buffer.byteLength(text) === sizeBytes
  return isSame ? undefined : `${name} is not what its SHA-256 and its size say.`
}

/** What signed targets name stays until they do not any more; what they never named goes at once. */
export async function removeFiles(transaction: Transaction, releaseId: string): Promise<void> {
  for (const { id, status } of await transaction.all(updateTargetKind, { where: { releaseId } })) {
    if (status.state === 'waiting') await transaction.delete(updateTargetKind, id)
    else await transaction.setStatus(updateTargetKind, id, { state: 'withdrawn' })
  }
}

export function fileOf(text: string): TargetFile {
  return { length: Buffer.byteLength(text), hashes: { sha256: sha256Of(text) } }
}

function sha256Of(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

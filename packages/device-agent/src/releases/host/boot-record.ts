import { join } from 'node:path'
import { fieldsOf, isFields, numberOf, parseJson, textOf } from '../../parse.ts'
import { type Disk, readSmall } from './disk.ts'

const { lstat, readlink } = process.getBuiltinModule('node:fs').promises

/**
 * How a host with two roots is laid out, below one folder:
 *
 *     a/ b/                 the roots
 *     current               symbolic link to the one that boots: `a` or `b`
 *     a.json b.json         what a root holds; none of one that came with the host
 *     a.partial b.partial   there while a root is being filled: it must not boot
 *     boot.json             the boot record
 *     downloads/            layers, by their hash
 *
 * Every change is one rename, synced; see `disk.ts`.
 */
export const rootNames = ['a', 'b'] as const
export type RootName = (typeof rootNames)[number]

/** A newer agent's record may say more: its fields stay when this one writes, and a newer format is not touched. */
export const bootFormat = 1

export interface BootRecord {
  formatVersion: number
  /** A root that was switched to and has not been confirmed. */
  trial: Trial | null
  /** The last one that was left again. */
  returned: Returned | null
  /** A root that the agent left and that runs until the host is down: the link leads elsewhere already. */
  left: Left | null
  /** What this agent does not know. */
  rest: Record<string, unknown>
}

export interface Trial {
  root: RootName
  previous: RootName
  /** Boots into it so far; 0: it was never booted. */
  attempts: number
  /** Boots that it has to be confirmed in. */
  attemptLimit: number
}

export interface Left {
  root: RootName
  /** Of the kernel: in another boot it runs no longer, also where the boot program is older than this field. */
  bootId: string
}

export interface Returned {
  releaseId: string | null
  reason: string
}

/** What `a.json` and `b.json` say. */
export interface RootContent {
  releaseId: string
  version: string
  digest: string
}

export interface Layout {
  record: BootRecord
  /** Null: the link is missing or leads elsewhere. */
  current: RootName | null
  roots: Record<RootName, { isBootable: boolean; content: RootContent | null }>
}

export const otherRoot = (name: RootName): RootName => (name === 'a' ? 'b' : 'a')

/** What is there. A damaged record counts as none: its roots still boot. */
export async function readLayout(directory: string): Promise<Layout> {
  const [record, target, a, b] = await Promise.all([
    readSmall(join(directory, 'boot.json')),
    readlink(join(directory, 'current')).catch(() => null),
    readRoot(directory, 'a'),
    readRoot(directory, 'b'),
  ])
  return { record: parseRecord(record), current: rootNames.find((name) => name === target) ?? null, roots: { a, b } }
}

export function writeRecord(directory: string, record: BootRecord, disk: Disk): Promise<void> {
  const { rest, ...known } = record
  return disk.writeText(join(directory, 'boot.json'), `${JSON.stringify({ ...rest, ...known })}\n`)
}

/** What a boot does: which root, and what is to be written first, in this order. */
export interface BootDecision {
  root: RootName
  /** The link is to lead to `root`. */
  relink: boolean
  /** Null: it stays. */
  record: BootRecord | null
  /** What boots where this cannot be written: nothing is tried that is not counted. */
  otherwise: RootName
  message: string
}

/**
 * Decides a boot; pure. Null: no root can boot. An unconfirmed root gets as many boots as its limit says, then the one
 * before it is returned to. The link is switched before the record is, so a cut between the two leaves a trial whose
 * link leads to the root before: one that never booted is then a switch that was not finished, any other a return.
 */
export function decideBoot(layout: Layout): BootDecision | null {
  const { record, current, roots } = layout
  const { trial, formatVersion } = record
  if (trial === null || formatVersion > bootFormat) return bootWithoutTrial(layout)
  const { root, previous, attempts, attemptLimit } = trial
  const canReturn = roots[previous].isBootable
  if (current === previous && canReturn) {
    if (attempts > 0) return bootPrevious(layout, trial)
    const message = `Root ${previous} boots: the switch to ${root} was not finished.`
    return {
      root: previous,
      relink: false,
      record: { ...record, trial: null, left: null },
      otherwise: previous,
      message,
    }
  }
  if (roots[root].isBootable && (attempts < attemptLimit || !canReturn)) {
    return {
      root,
      relink: current !== root,
      record: { ...record, trial: { ...trial, attempts: attempts + 1 }, left: null },
      otherwise: canReturn ? previous : root,
      message: `Root ${root} boots on trial: ${attempts + 1} of ${attemptLimit}.`,
    }
  }
  return canReturn ? bootPrevious(layout, trial) : null
}

/** A newer agent's record is not this one's to change, so then nothing is written at all. */
function bootWithoutTrial({ record, current, roots }: Layout): BootDecision | null {
  const isNewer = record.formatVersion > bootFormat
  const candidates = current === null ? rootNames : [current, otherRoot(current)]
  const root = candidates.find((name) => roots[name].isBootable)
  if (root === undefined) return null
  const why = isNewer ? 'a newer agent keeps the record, which is left alone' : 'nothing is on trial'
  const message = `Root ${root} boots: ${why}.`
  const isLeft = record.left !== null && !isNewer
  return {
    root,
    relink: root !== current && !isNewer,
    record: isLeft ? { ...record, left: null } : null,
    otherwise: root,
    message,
  }
}

function bootPrevious({ record, current, roots }: Layout, { root, previous, attempts }: Trial): BootDecision {
  const { isBootable, content } = roots[root]
  const reason = isBootable ? `Root ${root} was not confirmed in ${attempts} boots.` : `Root ${root} is not whole.`
  return {
    root: previous,
    relink: current !== previous,
    record: { ...record, trial: null, left: null, returned: { releaseId: content?.releaseId ?? null, reason } },
    otherwise: previous,
    message: `Root ${previous} boots again. ${reason}`,
  }
}

/** Does what `decideBoot` said. */
export async function carryOutBoot(directory: string, decision: BootDecision, disk: Disk): Promise<void> {
  if (decision.relink) await disk.pointLink(join(directory, 'current'), decision.root)
  if (decision.record) await writeRecord(directory, decision.record, disk)
}

async function readRoot(directory: string, name: RootName) {
  const [isThere, isPartial, text] = await Promise.all([
    kindOf(join(directory, name)).then((kind) => kind === 'directory'),
    kindOf(join(directory, `${name}.partial`)).then((kind) => kind !== null),
    readSmall(join(directory, `${name}.json`)),
  ])
  return { isBootable: isThere && !isPartial, content: parseContent(text) }
}

async function kindOf(path: string): Promise<'directory' | 'other' | null> {
  try {
    return (await lstat(path)).isDirectory() ? 'directory' : 'other'
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

function parseRecord(text: string | null): BootRecord {
  const { formatVersion, trial, returned, left, ...rest } = fieldsOf(parseJson(text ?? ''))
  return {
    formatVersion: numberOf(formatVersion) ?? bootFormat,
    trial: parseTrial(trial),
    returned: isFields(returned)
      ? { releaseId: textOf(returned.releaseId, 64), reason: textOf(returned.reason, 500) ?? '' }
      : null,
    left: parseLeft(left),
    rest,
  }
}

function parseTrial(value: unknown): Trial | null {
  const { root, attempts, attemptLimit } = fieldsOf(value)
  const name = rootNames.find((candidate) => candidate === root)
  if (name === undefined) return null
  return {
    root: name,
    previous: otherRoot(name),
    attempts: countOf(attempts) ?? 0,
    attemptLimit: countOf(attemptLimit) ?? 1,
  }
}

function parseLeft(value: unknown): Left | null {
  const { root, bootId } = fieldsOf(value)
  const [name, boot] = [rootNames.find((candidate) => candidate === root), textOf(bootId, 64)]
  return name === undefined || boot === null ? null : { root: name, bootId: boot }
}

function countOf(value: unknown): number | null {
  const count = numberOf(value)
  return count !== null && Number.isInteger(count) && count >= 0 && count <= 1000 ? count : null
}

function parseContent(text: string | null): RootContent | null {
  const told = fieldsOf(parseJson(text ?? ''))
  const [releaseId, version, digest] = [textOf(told.releaseId, 64), textOf(told.version, 64), textOf(told.digest, 80)]
  return releaseId === null || version === null || digest === null ? null : { releaseId, version, digest }
}

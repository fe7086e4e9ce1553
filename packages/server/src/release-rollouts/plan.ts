import { hash } from 'node:crypto'
import { FreeholdError, type ReleasePhase, releasePhaseSchema } from '@freehold/contracts'

/** A device that follows a channel when a rollout of it begins. */
export interface ChannelMember {
  deviceId: string
  /** The group it belongs to. */
  groupId: string | null
}

/** Members in the order of the rollout, phase after phase. */
export interface Cut {
  deviceIds: string[]
  /** How many members each phase has; together all of them. */
  sizes: number[]
}

/** A rollout without phases has one, for everyone. */
export function phasesOf(data: { phases: readonly ReleasePhase[] }): readonly ReleasePhase[] {
  return data.phases.length > 0 ? data.phases : [releasePhaseSchema.parse({})]
}

/**
 * Cuts the members of a rollout into its phases. The order depends on nothing but the ids of rollout and devices, so that
 * no device is always the first to try. Each phase takes from those that are left: its percentage of all members, rounded
 * up, or its count, or all it may; the last takes all. Throws `conflict` where the last may not have all that are left.
 */
export function cutPhases(options: {
  rolloutId: string
  members: readonly ChannelMember[]
  phases: readonly ReleasePhase[]
}): Cut {
  const { members, phases } = options
  let left = ordered(options.rolloutId, members)
  const cut: Cut = { deviceIds: [], sizes: [] }
  for (const [index, phase] of phases.entries()) {
    const isLast = index === phases.length - 1
    const most = isLast ? left.length : sizeOf(phase, members.length)
    const rest: ChannelMember[] = []
    let taken = 0
    for (const member of left) {
      if (taken < most && (phase.groupId === undefined || phase.groupId === member.groupId)) {
        cut.deviceIds.push(member.deviceId)
        taken += 1
      } else rest.push(member)
    }
    cut.sizes.push(taken)
    left = rest
  }
  if (left.length > 0) {
    throw new FreeholdError(
      'conflict',
      `${left.length} devices of the channel are in no phase, because the last one names a group. Add a last phase without a group.`,
    )
  }
  return cut
}

/** Throws `invalid-input` where the phases before the last would have more than all members. */
export function checkPhases(phases: readonly ReleasePhase[]): void {
  const together = phases.slice(0, -1).reduce((sum, { percent = 0 }) => sum + percent, 0)
  if (together <= 100) return
  throw new FreeholdError(
    'invalid-input',
    `The phases before the last have ${together} % of the members together. Each percentage is what a phase adds, not what it reaches: make them 100 or less.`,
    { details: [{ path: 'data.phases', message: 'at most 100 % before the last' }] },
  )
}

/** SHA-256 over the sorted ids, one a line. */
export function membersHash(deviceIds: readonly string[]): string {
  return hash('sha256', [...deviceIds].sort().join('\n'), 'hex')
}

/** The smallest whole number that is at least so many percent of all; percentages count to the sixth decimal. */
export function leastOf(percent: number, all: number): number {
  return Math.ceil((Math.round(percent * percentUnit) * all) / (100 * percentUnit))
}

/** Whether a part is more than so many percent of all, exactly. */
export function isMoreThan(part: number, percent: number, all: number): boolean {
  return part * 100 * percentUnit > Math.round(percent * percentUnit) * all
}

const percentUnit = 1_000_000

/** Where members are left, a phase has one at least. */
function sizeOf({ percent, count }: ReleasePhase, all: number): number {
  if (percent !== undefined) return Math.max(1, leastOf(percent, all))
  return count ?? all
}

/** Keys are numbers in one array: as texts, those of a hundred thousand members are more to collect than the members. */
function ordered(rolloutId: string, members: readonly ChannelMember[]): ChannelMember[] {
  const keys = Float64Array.from(members, ({ deviceId }) =>
    Number.parseInt(hash('sha256', `${rolloutId}${deviceId}`, 'hex').slice(0, 12), 16),
  )
  const idOf = (index: number) => members[index]?.deviceId ?? ''
  return [...members.keys()]
    .sort((one, other) => (keys[one] ?? 0) - (keys[other] ?? 0) || (idOf(one) < idOf(other) ? -1 : 1))
    .flatMap((index) => members[index] ?? [])
}

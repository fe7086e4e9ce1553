import { type MemberCounts, type MemberState, memberStates } from '@freehold/contracts'

/** In the order of a bar: what is done, what is on its way from near to far, what waits, and at its end what went wrong. */
export const barOrder = [
  'succeeded',
  'soaking',
  'applying',
  'downloading',
  'staged',
  'waiting',
  'left',
  'rolled-back',
  'failed',
] as const satisfies readonly MemberState[]

export const memberWords: Record<MemberState, string> = {
  waiting: 'waiting',
  staged: 'ready to begin',
  downloading: 'downloading',
  applying: 'applying',
  soaking: 'watching it',
  succeeded: 'succeeded',
  failed: 'failed',
  'rolled-back': 'went back',
  left: 'left the rollout',
}

/** Members that count in thresholds: all but those that left. */
export function baseOf(counts: MemberCounts): number {
  return memberStates.reduce((sum, state) => (state === 'left' ? sum : sum + counts[state]), 0)
}

export function failuresOf(counts: MemberCounts): number {
  return counts.failed + counts['rolled-back']
}

/** The fewest devices that are at least this percentage of a phase. */
export function leastOf(percent: number, base: number): number {
  return Math.ceil(Number(((percent * base) / 100).toFixed(6)))
}

/** The most devices that are not more than this percentage of a phase. */
export function mostOf(percent: number, base: number): number {
  return Math.floor(Number(((percent * base) / 100).toFixed(6)))
}

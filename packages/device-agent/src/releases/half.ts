import type { AssignedRelease } from '@freehold/contracts'
import { soonMs, type Urgency } from '../nudge.ts'

export const halves = ['host', 'app'] as const
export type HalfName = (typeof halves)[number]

export const phases = [
  'staged',
  'downloading',
  'applying',
  'soaking',
  'rolling-back',
  'succeeded',
  'failed',
  'rolled-back',
  'not-supported',
] as const
export type Phase = (typeof phases)[number]

/** How far a release has come on this device; in the state file. */
export interface Half {
  releaseId: string
  version: string
  /** Of its manifest. */
  sha256: string
  attempt: number
  soakSeconds: number
  phase: Phase
  message: string
  /** Last lines of what failed. */
  log: string
  /** Calls of the driver in this phase, over restarts; counted before each. */
  tries: number
  /** The driver said that the device goes down now. */
  isRestarting: boolean
}

export function stagedHalf(assigned: AssignedRelease): Half {
  const { releaseId, version, sha256, attempt, soakSeconds } = assigned
  return {
    releaseId,
    version,
    sha256,
    attempt,
    soakSeconds,
    phase: 'staged',
    message: 'It is verified.',
    log: '',
    tries: 0,
    isRestarting: false,
  }
}

/** Something of it may run already; it is brought to an end before anything else begins. */
export function isBegun(half: Half | null): half is Half {
  return half !== null && (half.phase === 'applying' || half.phase === 'soaking' || half.phase === 'rolling-back')
}

/** Nothing of it has touched what runs. */
export function isWaiting(half: Half | null): half is Half {
  return half !== null && (half.phase === 'staged' || half.phase === 'downloading')
}

/**
 * What lies on the way between the first sign of progress and the end may be told together with what follows it; but a
 * success waits for an answer of the control plane in its soak, so that a short one is told of at once.
 */
export function urgencyOf({ phase, soakSeconds }: Pick<Half, 'phase' | 'soakSeconds'>): Urgency {
  if (phase === 'soaking') return soakSeconds * 1000 < soonMs ? 'now' : 'soon'
  return phase === 'staged' || phase === 'applying' ? 'soon' : 'now'
}

import type { Basis } from '../releases/index.ts'

/** What is remembered of what a device shall be. */
export interface Known {
  readonly generation: number
  /** When it changes although nobody changes anything; 0: it must be computed again. */
  readonly changesAtMs: number
  readonly basis: Basis
}

/** Nothing was computed yet. */
export const nothingKnown: Known = {
  generation: 0,
  changesAtMs: 0,
  basis: { groupId: null, appReleaseId: null, hostReleaseId: null, appRolloutId: null, hostRolloutId: null },
}

/** True where what is remembered still holds. */
export const isKnown = ({ changesAtMs }: Pick<Known, 'changesAtMs'>, nowMs: number): boolean => nowMs < changesAtMs

import type { Assignment } from '@freehold/contracts'
import type { NewestAssignment } from './assignment.ts'
import type { Refusal } from './refusal.ts'
import type { Zone } from './zone.ts'

/** Highest versions that were trusted; 0: none yet. */
export interface SeenVersions {
  root: number
  timestamp: number
  snapshot: number
  targets: number
  /**
   * Ids of the keys that signed them, but root's. With other keys the versions begin anew (§5.3.11): whoever stole the
   * old keys may have counted them up.
   */
  keys: string
}

/** Where trust began, and how far it has come. In the state file. */
export interface Trust {
  /** SHA-256 of the first root that was ever trusted; null: none yet. */
  firstRootSha256: string | null
  seen: SeenVersions
}

export const noTrust: Trust = {
  firstRootSha256: null,
  seen: { root: 0, timestamp: 0, snapshot: 0, targets: 0, keys: '' },
}

/** What the process that verifies is asked, on its standard input. */
export interface VerifyRequest {
  /** The control plane. */
  url: string
  nodeToken: string | null
  nodeId: string
  /** Where metadata and manifests are kept. */
  folder: string
  /** The file of `BASEOS_UPDATE_ROOT`; null: the first root is taken from the control plane, once. */
  rootPath: string | null
  trust: Trust
  newest: NewestAssignment | null
  believedMs: number
  deviceType: string | null
  timeZone: string | null
  /** Hashes of manifests that are still needed, besides those of the assignment. */
  keepManifests: string[]
  /** As it came, unread. */
  assignment: unknown
}

/** What it answers, as one line on its standard output. */
export interface VerifyAnswer {
  /** Also where the assignment was refused: what was seen stays seen. */
  trust: Trust
  /** Null: refused. A half whose manifest was refused is null. */
  assignment: Assignment | null
  newest: NewestAssignment | null
  refusals: Refusal[]
  zone: Zone
}

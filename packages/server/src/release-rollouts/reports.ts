import type { ReleaseType } from '@freehold/contracts'
import type { Progress } from './live.ts'

/** By device, what it said last since the loop took them. */
export type NewestReports = Record<ReleaseType, Map<string, { progress: Progress; atMs: number }>>

export const newestReports = (): NewestReports => ({ app: new Map(), host: new Map() })

export interface Report {
  deviceId: string
  type: ReleaseType
  progress: Progress
}

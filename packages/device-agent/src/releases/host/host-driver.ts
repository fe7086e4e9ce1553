import type { ReleaseManifest } from '@freehold/contracts'
import type { ReleaseDriver } from '../driver.ts'

/** A driver of the host's operating system. */
export interface HostDriver extends ReleaseDriver {
  /** `force` given: an older version than the present one is refused without it. Not given: `apply` asks that. */
  unsupported(manifest: ReleaseManifest, signal: AbortSignal, asked?: { force: boolean }): Promise<string | null>
}

export interface HostHealth {
  isHealthy: boolean
  message: string
  /** Last lines, at most 8,000 characters. */
  log: string
}

import type { ReleaseManifest } from '@freehold/contracts'

/**
 * One way to bring a release onto a device: `app` drivers run its containers, `host` drivers switch the operating
 * system. Decisions (what to take, when, whether to give up) are not theirs: a driver does one thing at a time and
 * tells what happened. Every call may follow a restart of the agent or of the device, at any point of the one before.
 */
export interface ReleaseDriver {
  /** Such as `supervisor`, `engine`, `balena-hostapp`. */
  readonly name: string
  /**
   * Why it cannot take this release here, for people; null: it can. `asked` given: an older host than the present one is
   * refused without `force`; not given, `apply` asks that.
   */
  unsupported(manifest: ReleaseManifest, signal: AbortSignal, asked?: { force: boolean }): Promise<string | null>
  /** The release that runs now, as far as this driver brought it; null: none of ours. */
  running(signal: AbortSignal): Promise<string | null>
  /** Brings everything here that `apply` needs, and changes nothing that runs. May be called again to go on. */
  download(
    manifest: ReleaseManifest,
    options: { signal: AbortSignal; onProgress: (percent: number) => void },
  ): Promise<void>
  /**
   * Switches to what was downloaded, so that it can be left again. `restarting`: the device goes down now, and the agent
   * finds itself in the new release, or in the old one, when it comes back. Throws `DriverLocked` where an application
   * holds an update lock and `force` is not given.
   */
  apply(manifest: ReleaseManifest, options: { force: boolean; signal: AbortSignal }): Promise<'applied' | 'restarting'>
  /** How the release that was applied does. `log`: last lines of what fails, at most 8,000 characters. */
  health(manifest: ReleaseManifest, signal: AbortSignal): Promise<{ isHealthy: boolean; message: string; log: string }>
  /** It stays, and what only a return needed may go. */
  commit(manifest: ReleaseManifest, signal: AbortSignal): Promise<void>
  /**
   * Back to what was there before `apply`. `restarting` as above. Throws `DriverLocked` where it has to wait for an
   * application, and `NoWayBack` where it never can.
   */
  rollBack(signal: AbortSignal): Promise<'returned' | 'restarting'>
}

/** An application holds an update lock: not a failure, asked again later. */
export class DriverLocked extends Error {
  override readonly name = 'DriverLocked'
}

/** There is no return from this release by this driver, whatever is tried: what was there is somebody else's to bring. */
export class NoWayBack extends Error {
  override readonly name = 'NoWayBack'
}

/** A program of the host failed. `log`: its last lines, for the report. */
export class HostUpdateFailed extends Error {
  override readonly name = 'HostUpdateFailed'
  readonly log: string

  constructor(message: string, log: string) {
    super(message)
    this.log = log
  }
}

import { FreeholdError } from '@freehold/contracts/lean'
import type { UpdateLocks } from '../../locks/update-locks.ts'
import { DriverLocked } from '../driver.ts'

const owner = 'host-update'
/** The longest lease there is; no host's update takes as long. */
const leaseMs = 60 * 60_000

/** The update locks of applications, as a host's update sees them. */
export interface HostLocks {
  /** Throws DriverLocked where somebody else holds one and `force` is not given. */
  take(options: { force: boolean }): Promise<void>
  release(): Promise<void>
}

export function createHostLocks(locks: UpdateLocks): HostLocks {
  return {
    async take({ force }) {
      const others = locks.owners().filter((name) => name !== owner)
      if (others.length > 0 && !force) throw new DriverLocked(`Update locks are held: ${others.join(', ')}.`)
      try {
        await locks.take(owner, leaseMs)
      } catch (error) {
        if (!(error instanceof FreeholdError)) throw error
        if (!force) throw new DriverLocked(error.message, { cause: error })
      }
    },
    async release() {
      await locks.release(owner)
    },
  }
}

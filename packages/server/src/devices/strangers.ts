import { FreeholdError } from '@freehold/contracts'
import { createThrottle } from '../identity/index.ts'

/**
 * A thousand failures from one address are free, then ten a second. So many are a site whose tokens were all lost, as by a
 * backup of long ago, and it must get through: no token of 256 bits is guessed, however often somebody tries.
 */
const rules = { address: { free: 1_000, firstWaitMs: 100, longestWaitMs: 100 } }

/**
 * Slows down addresses that come with tokens nobody has. Who has a good one is never slowed down by others behind the same
 * address: a token is looked up first, which is one read of an index, and only what was not found is counted here.
 */
export function createStrangers({ now }: { now: () => number }) {
  const throttle = createThrottle({ now, rules })
  return {
    /** What came from this address was nobody's. Throws `too-many-requests` where that happens too often. */
    note(address: string): void {
      throttle.begin({ account: undefined, address })
    },
  }
}
export type Strangers = ReturnType<typeof createStrangers>

/** True where a node token was refused because it is nobody's; one that has expired, or was shut out, is somebody's. */
export function isOfNobody(error: unknown): boolean {
  return error instanceof FreeholdError && error.code === 'unauthenticated'
}

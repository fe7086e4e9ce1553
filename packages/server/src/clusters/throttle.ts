import { FreeholdError } from '@freehold/contracts'

const windowMs = 60_000
const failuresAllowed = 10
const addressesRemembered = 10_000

/** Counts failures by address and refuses more than ten in a minute; the memory of addresses is bounded. */
export function createThrottle({ now }: { now: () => number }): {
  /** Throws `too-many-requests`. */
  check(address: string): void
  fail(address: string): void
} {
  const failures = new Map<string, { count: number; until: number }>()
  return {
    check(address) {
      const entry = failures.get(address)
      if (entry === undefined || entry.count < failuresAllowed) return
      const leftMs = entry.until - now()
      if (leftMs <= 0) return
      throw new FreeholdError('too-many-requests', 'Too many wrong codes from this address.', {
        retryAfterSeconds: Math.ceil(leftMs / 1000),
      })
    },
    fail(address) {
      const entry = failures.get(address)
      const isOpen = entry !== undefined && entry.until > now()
      failures.delete(address)
      failures.set(address, isOpen ? { ...entry, count: entry.count + 1 } : { count: 1, until: now() + windowMs })
      const [oldest] = failures.keys()
      if (failures.size > addressesRemembered && oldest !== undefined) failures.delete(oldest)
    },
  }
}

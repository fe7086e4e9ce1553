import { isIPv6 } from 'node:net'
import { FreeholdError } from '@freehold/contracts'

export interface Rule {
  /** Failures without consequence. */
  free: number
  /** The wait after the first failure too many; it doubles with each further one. */
  firstWaitMs: number
  longestWaitMs: number
}

/**
 * Guessing is slowed down at three places: one account from one address, one address against all accounts, one
 * account from all addresses. The last one is short, and an address that has signed in to that account before is
 * free of it: nobody can lock an administrator out by failing in his name.
 */
const rulesOfSignIn: Rules = {
  pair: { free: 5, firstWaitMs: 1_000, longestWaitMs: 15 * 60_000 },
  address: { free: 20, firstWaitMs: 1_000, longestWaitMs: 15 * 60_000 },
  account: { free: 50, firstWaitMs: 1_000, longestWaitMs: 30_000 },
}

/** What is counted: an account from an address, an address, an account. What has no rule is not counted. */
export type Rules = Partial<Record<'pair' | 'address' | 'account', Rule>>

/** A quiet hour clears the record. */
const forgetAfterMs = 60 * 60_000
const maxEntries = 10_000

interface Entry {
  failures: number
  notBefore: number
  lastAt: number
}

export interface Attempt {
  /** Takes the failure back that every attempt counts as until it is known to be none. */
  succeeded(): void
}

/**
 * Slows down guessing of passwords, tokens and JUMPCODEs. In memory, bounded; a restart forgets. `rules`: default those of
 * signing in.
 */
export function createThrottle(options: { now: () => number; rules?: Rules }) {
  const rules = options.rules ?? rulesOfSignIn
  const entries = new Map<string, Entry>()
  const knownAddresses = new Map<string, true>()

  /**
   * Begins an attempt and counts it as failed, so that many at once gain nothing. Throws `too-many-requests` with the
   * seconds to wait. Accounts are names as typed: whether they exist plays no part.
   */
  function begin(attempt: { account: string | undefined; address: string }): Attempt {
    const now = options.now()
    const address = networkOf(attempt.address)
    const account = attempt.account?.toLowerCase()
    const pair = `pair ${account ?? ''} ${address}`
    const isCounted = account !== undefined && !knownAddresses.has(pair)
    const candidates: [string, Rule | undefined][] = [
      [pair, rules.pair],
      [`address ${address}`, rules.address],
      [`account ${account}`, isCounted ? rules.account : undefined],
    ]
    const keys = candidates.filter((entry): entry is [string, Rule] => entry[1] !== undefined)
    const waitMs = Math.max(0, ...keys.map(([key]) => (current(key, now)?.notBefore ?? 0) - now))
    if (waitMs > 0) {
      const seconds = Math.ceil(waitMs / 1000)
      throw new FreeholdError('too-many-requests', `Too many failed attempts; wait ${seconds} s.`, {
        retryAfterSeconds: seconds,
      })
    }
    for (const [key, rule] of keys) fail(key, rule, now)
    return {
      succeeded() {
        for (const [key, rule] of keys) forgive(key, rule)
        entries.delete(pair)
        remember(knownAddresses, pair, true)
      },
    }
  }

  function current(key: string, now: number): Entry | undefined {
    const entry = entries.get(key)
    if (entry === undefined || now - entry.lastAt < forgetAfterMs) return entry
    entries.delete(key)
    return undefined
  }

  function fail(key: string, rule: Rule, now: number): void {
    const failures = (current(key, now)?.failures ?? 0) + 1
    remember(entries, key, { failures, notBefore: now + waitAfter(failures, rule), lastAt: now })
  }

  function forgive(key: string, rule: Rule): void {
    const entry = entries.get(key)
    if (entry === undefined) return
    const failures = entry.failures - 1
    entries.set(key, { ...entry, failures, notBefore: entry.lastAt + waitAfter(failures, rule) })
  }

  return { begin, size: () => entries.size }
}
export type Throttle = ReturnType<typeof createThrottle>

function waitAfter(failures: number, rule: Rule): number {
  if (failures < rule.free) return 0
  return Math.min(rule.longestWaitMs, rule.firstWaitMs * 2 ** Math.min(30, failures - rule.free))
}

/** Newest last; the oldest goes when there are too many. */
function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key)
  map.set(key, value)
  if (map.size <= maxEntries) return
  const [oldest] = map.keys()
  if (oldest !== undefined) map.delete(oldest)
}

/** One IPv6 subscriber has a /64 at least (RFC 6177): the addresses in it are one. */
function networkOf(address: string): string {
  if (!isIPv6(address)) return address
  const [head = '', tail] = address.split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  const middle = tail === undefined ? [] : Array<string>(Math.max(0, 8 - left.length - right.length)).fill('0')
  return [...left, ...middle, ...right]
    .slice(0, 4)
    .map((part) => Number.parseInt(part, 16).toString(16))
    .join(':')
}

/** Which starts of the agent were heard under one identity. */
export interface Boots {
  current: string
  /** `endedMs`: when the start that followed it was first heard. */
  earlier: readonly { bootId: string; endedMs: number }[]
  /** An earlier start that was heard again: its newest request, and how many there were. Null: none. */
  returning: { bootId: string; sequence: number; times: number } | null
}
const earlierKept = 4
/** One for all the devices of which only one start was heard. */
const noneEarlier: Boots['earlier'] = []
/** One that speaks again and again is none of which a request came late. */
const returnsOfClones = 3
/**
 * What a device sent before it lost power has come by then. A proxy that holds a request may try to hand it on for that
 * long: Linux gives a connection up after 13 to 30 minutes without an answer (`tcp_retries2` in tcp(7)).
 */
const underWayMs = 30 * 60_000

/**
 * Notes which start of the agent speaks. A device never goes on with an earlier start of its own, so `returned` means
 * that two devices take turns. Requests of an earlier start may still be under way when the next one is heard, several of
 * them where the agent tried again, and come twice and in any order: each is a `straggler`, which tells nothing new. An
 * agent that does not say its start is never suspected.
 */
export function noteBoot(
  boots: Boots | undefined,
  { bootId, sequence, nowMs }: { bootId: string | null; sequence: number | null; nowMs: number },
): { boots: Boots | undefined; verdict: 'same' | 'new' | 'straggler' | 'returned' } {
  if (bootId === null || bootId === '') return { boots, verdict: 'same' }
  if (boots === undefined) return { boots: { current: bootId, earlier: noneEarlier, returning: null }, verdict: 'new' }
  if (boots.current === bootId) return { boots, verdict: 'same' }
  const known = boots.earlier.find((one) => one.bootId === bootId)
  if (known !== undefined) {
    const before = boots.returning?.bootId === bootId ? boots.returning : { sequence: -1, times: 0 }
    if (sequence !== null && sequence <= before.sequence) return { boots, verdict: 'straggler' }
    const returning = { bootId, sequence: sequence ?? -1, times: before.times + 1 }
    const mayBeLate = returning.times < returnsOfClones || nowMs - known.endedMs < underWayMs
    if (mayBeLate) return { boots: { ...boots, returning }, verdict: 'straggler' }
  }
  const others = boots.earlier.filter((one) => one !== known)
  const earlier = [{ bootId: boots.current, endedMs: nowMs }, ...others].slice(0, earlierKept)
  return {
    boots: { current: bootId, earlier, returning: null },
    verdict: known === undefined ? 'new' : 'returned',
  }
}

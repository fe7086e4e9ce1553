/** Which starts of the agent were heard under one identity. Times are whole seconds since 1970. */
export interface Boots {
  current: string
  firstHeardAt: number
  earlier: readonly Earlier[]
  /** An earlier start that was heard again: its newest request, and how many there were. Null: none. */
  returning: { bootId: string; sequence: number; times: number } | null
}
interface Earlier {
  bootId: string
  firstHeardAt: number
  /** When a start was first heard that must have come after this one, if all is one device; null: none is known. */
  beforeWhat: number | null
}
const earlierKept = 4
/** One for all the devices of which only one start was heard. */
const noneEarlier: Boots['earlier'] = []
/** An earlier start that speaks so often again is taken for the one that runs, until the other one speaks. */
const returnsToBelieve = 3
/**
 * What a device sent before it lost power has come by then. A proxy that holds a request may try to hand it on for that
 * long: Linux gives a connection up after 13 to 30 minutes without an answer (`tcp_retries2` in tcp(7)).
 */
const underWaySeconds = 30 * 60

/**
 * Notes which start of the agent speaks. A device never goes on with an earlier start of its own. But requests come late,
 * several of them, twice and in any order, and the first that is heard of a start may be a late one, when the next start
 * speaks already. So nothing follows from who was heard first. What follows is this: whoever speaks longer after another
 * was first heard than a request may be under way did not start before it. Where that holds both ways, two devices take
 * turns: `returned`. Until then an earlier start is a `straggler`, which tells nothing new. An agent that does not say its
 * start is never suspected.
 */
export function noteBoot(
  boots: Boots | undefined,
  { bootId, sequence, nowMs }: { bootId: string | null; sequence: number | null; nowMs: number },
): { boots: Boots | undefined; verdict: 'same' | 'new' | 'straggler' | 'returned' } {
  if (bootId === null || bootId === '') return { boots, verdict: 'same' }
  const now = Math.floor(nowMs / 1000)
  if (boots === undefined) {
    return { boots: { current: bootId, firstHeardAt: now, earlier: noneEarlier, returning: null }, verdict: 'new' }
  }
  if (boots.current === bootId) return { boots, verdict: 'same' }
  const known = boots.earlier.find((one) => one.bootId === bootId)
  if (known === undefined) return { boots: changeTo({ bootId, firstHeardAt: now }, boots, null), verdict: 'new' }
  const isAfter = (firstHeardAt: number) => now - firstHeardAt > underWaySeconds
  const isNotBeforeCurrent = isAfter(boots.firstHeardAt)
  const changed = () => changeTo(known, boots, isNotBeforeCurrent ? known.firstHeardAt : null)
  if (known.beforeWhat !== null && isAfter(known.beforeWhat)) return { boots: changed(), verdict: 'returned' }
  if (isNotBeforeCurrent) return { boots: changed(), verdict: 'new' }
  const before = boots.returning?.bootId === bootId ? boots.returning : { sequence: -1, times: 0 }
  if (sequence !== null && sequence <= before.sequence) return { boots, verdict: 'straggler' }
  const returning = { bootId, sequence: sequence ?? -1, times: before.times + 1 }
  if (returning.times < returnsToBelieve) return { boots: { ...boots, returning }, verdict: 'straggler' }
  return { boots: changed(), verdict: 'new' }
}

/** `beforeWhat`: of the start that was current until now. */
function changeTo(
  { bootId, firstHeardAt }: Pick<Earlier, 'bootId' | 'firstHeardAt'>,
  { current, firstHeardAt: currentHeardAt, earlier }: Boots,
  beforeWhat: number | null,
): Boots {
  const others = earlier.filter((one) => one.bootId !== bootId)
  const latest = { bootId: current, firstHeardAt: currentHeardAt, beforeWhat }
  return { current: bootId, firstHeardAt, earlier: [latest, ...others].slice(0, earlierKept), returning: null }
}

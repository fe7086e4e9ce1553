/** From this moment on, local time is so many minutes ahead of UTC. */
export type ZoneOffset = [fromMs: number, minutes: number]

export interface Zone {
  /** As it was asked for. */
  name: string | null
  /** In order; the first counts for all that was before it. */
  offsets: ZoneOffset[]
  /** Null: the zone is known. Else UTC was taken, and why. */
  problem: string | null
}

const hourMs = 60 * 60_000
const aheadMs = 40 * 24 * hourMs

/**
 * What a time zone does around a moment: a day before it, 40 days after. It loads the tables of all languages and zones
 * (8 MB), so only the process that verifies calls this, and the agent keeps the short list.
 */
export function zoneAround(name: string | null, nowMs: number): Zone {
  if (name === null || name === 'UTC') return { name, offsets: [[nowMs, 0]], problem: null }
  let format: Intl.DateTimeFormat
  try {
    format = new Intl.DateTimeFormat('en-US', { timeZone: name, timeZoneName: 'longOffset' })
  } catch {
    const problem = `The time zone ${name} is not known; windows are kept in UTC.`
    return { name, offsets: [[nowMs, 0]], problem }
  }
  const firstMs = Math.floor(nowMs / hourMs) * hourMs - 24 * hourMs
  let minutes = minutesAt(format, firstMs)
  const offsets: ZoneOffset[] = [[firstMs, minutes]]
  for (let atMs = firstMs; atMs < nowMs + aheadMs; atMs += hourMs) {
    const next = minutesAt(format, atMs + hourMs)
    if (next === minutes) continue
    offsets.push([changeBetween(format, atMs, atMs + hourMs), next])
    minutes = next
  }
  return { name, offsets, problem: null }
}

/** To the second: offsets change at a full minute. */
function changeBetween(format: Intl.DateTimeFormat, beforeMs: number, afterMs: number): number {
  const before = minutesAt(format, beforeMs)
  let [low, high] = [beforeMs / 1000, afterMs / 1000]
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2)
    if (minutesAt(format, middle * 1000) === before) low = middle
    else high = middle
  }
  return high * 1000
}

/** The format says `GMT`, `GMT+02:00` or `GMT-03:30`. */
function minutesAt(format: Intl.DateTimeFormat, atMs: number): number {
  const text = format.formatToParts(atMs).find(({ type }) => type === 'timeZoneName')?.value ?? ''
  const [, sign, hours, minutes] = /^GMT([+-])(\d\d):(\d\d)/.exec(text) ?? []
  if (sign === undefined) return 0
  return (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes))
}

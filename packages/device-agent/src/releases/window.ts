import type { ReleaseWindow } from '@freehold/contracts'
import type { ZoneOffset } from '../updates/index.ts'

const minuteMs = 60_000
const dayMs = 24 * 60 * minuteMs
/** 1970-01-01 was a Thursday. */
const weekdays = ['thu', 'fri', 'sat', 'sun', 'mon', 'tue', 'wed'] as const

/**
 * Whether a window is open, by the clock on the wall of the device. A window over midnight belongs to the day on which
 * it began; one whose ends are the same lasts a whole day. An hour that a change of the clocks leaves out is not there,
 * and one that it repeats counts twice.
 */
export function isOpen(window: ReleaseWindow | null, offsets: readonly ZoneOffset[], nowMs: number): boolean {
  if (window === null) return true
  const localMs = nowMs + minutesAhead(offsets, nowMs) * minuteMs
  const minute = Math.floor((localMs - Math.floor(localMs / dayMs) * dayMs) / minuteMs)
  const [from, to] = [minuteOf(window.from), minuteOf(window.to)]
  const beginsOn = (atMs: number) => {
    const day = weekdays[((Math.floor(atMs / dayMs) % 7) + 7) % 7]
    return day !== undefined && window.days.includes(day)
  }
  if (from < to) return minute >= from && minute < to && beginsOn(localMs)
  return minute >= from ? beginsOn(localMs) : minute < to && beginsOn(localMs - dayMs)
}

/** How far local time is ahead of UTC then; what lies before the first entry counts as the first. */
export function minutesAhead(offsets: readonly ZoneOffset[], nowMs: number): number {
  const found = offsets.findLast(([fromMs]) => fromMs <= nowMs) ?? offsets[0]
  return found?.[1] ?? 0
}

function minuteOf(text: string): number {
  return Number(text.slice(0, 2)) * 60 + Number(text.slice(3, 5))
}

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { zoneAround } from '../updates/zone.ts'
import { isOpen, minutesAhead } from './window.ts'

const minute = 60_000
const day = 24 * 60 * minute
const allDays = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const
const zones = ['Europe/Berlin', 'America/St_Johns', 'Asia/Kathmandu', 'Australia/Lord_Howe', 'Pacific/Apia', 'UTC']

/** What is open by the clock on the wall, as the tables of the language say it. */
function wall(zone: string, atMs: number): { day: string; time: string } {
  const format = new Intl.DateTimeFormat('en-GB', {
    timeZone: zone,
    weekday: 'short',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  })
  const parts = Object.fromEntries(format.formatToParts(atMs).map(({ type, value }) => [type, value]))
  return { day: (parts.weekday ?? '').toLowerCase(), time: `${parts.hour}:${parts.minute}` }
}

test('a window is open exactly when the wall clock of the zone says so, in every zone and over every change of clocks', () => {
  const time = fc
    .tuple(fc.integer({ min: 0, max: 23 }), fc.integer({ min: 0, max: 59 }))
    .map((parts) => parts.map((part) => String(part).padStart(2, '0')).join(':'))
  const window = fc.record({ days: fc.subarray([...allDays], { minLength: 1 }), from: time, to: time })
  const moments = fc.integer({ min: Date.parse('2026-01-01T00:00:00Z'), max: Date.parse('2030-01-01T00:00:00Z') })
  fc.assert(
    fc.property(
      fc.constantFrom(...zones),
      moments,
      fc.integer({ max: 39, min: 0 }),
      window,
      (zone, nowMs, days, wanted) => {
        const { offsets, problem } = zoneAround(zone, nowMs)
        expect(problem).toBeNull()
        const atMs = nowMs + days * day
        const { day: today, time: now } = wall(zone, atMs)
        const yesterday = allDays[(allDays.indexOf(today as 'mon') + 6) % 7] ?? 'mon'
        const isOurs = (name: string) => wanted.days.some((known) => known === name)
        const { from, to } = wanted
        const isExpected =
          from < to
            ? isOurs(today) && now >= from && now < to
            : (isOurs(today) && now >= from) || (isOurs(yesterday) && now < to)
        expect(isOpen(wanted, offsets, atMs)).toBe(isExpected)
      },
    ),
    { numRuns: 150 },
  )
})

test('the night the clocks go forward has no window in the hour left out; the night they go back has it twice', () => {
  const window = { days: [...allDays], from: '02:00', to: '03:00' }
  const openMinutes = (date: string) => {
    const startMs = Date.parse(`${date}T12:00:00Z`)
    const { offsets } = zoneAround('Europe/Berlin', startMs)
    const minutes = Array.from({ length: 24 * 60 }, (_, index) => startMs + index * minute)
    return minutes.filter((atMs) => isOpen(window, offsets, atMs)).length
  }
  expect([openMinutes('2027-03-26'), openMinutes('2027-03-27'), openMinutes('2027-10-30')]).toEqual([60, 0, 120])
})

test('a change of the clocks is known to the second, and a zone that nobody knows is UTC, and said', () => {
  const nowMs = Date.parse('2027-03-20T00:00:00Z')
  const { offsets } = zoneAround('Europe/Berlin', nowMs)
  const changeMs = Date.parse('2027-03-28T01:00:00Z')
  expect([minutesAhead(offsets, changeMs - 1), minutesAhead(offsets, changeMs)]).toEqual([60, 120])
  for (const name of ['Europe/Nowhere', 'x', '../../etc/passwd', 'Mars']) {
    expect(zoneAround(name, nowMs)).toMatchObject({ offsets: [[nowMs, 0]], problem: expect.stringContaining(name) })
  }
  expect(zoneAround(null, nowMs)).toMatchObject({ offsets: [[nowMs, 0]], problem: null })
})

import type { AssignedRelease, ReleaseWindow } from '@freehold/contracts'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Half, type HalfName, isBegun, isWaiting, phases, stagedHalf } from './half.ts'
import { assignedRelease, assignmentOf } from './plan.testing.ts'
import { afterStep, nextStep, type Outcome, type Seen, type Soak } from './plan.ts'
import { readStoredReleases } from './stored.ts'
import { isOpen } from './window.ts'

const nowMs = Date.parse('2030-01-02T12:00:00Z')
const ids = fc.constantFrom('r1', 'r2')
const assignedHalf: fc.Arbitrary<AssignedRelease | null> = fc.option(
  fc
    .record({
      releaseId: ids,
      attempt: fc.integer({ min: 1, max: 2 }),
      held: fc.boolean(),
      force: fc.boolean(),
      window: fc.option(
        fc.constantFrom<ReleaseWindow[]>(
          { days: ['wed'], from: '11:00', to: '13:00' },
          { days: ['tue'], from: '22:00', to: '06:00' },
        ),
      ),
    })
    .map(({ releaseId, ...change }) => assignedRelease(releaseId, change)),
)
const assignment = fc.option(
  fc
    .record({
      app: assignedHalf,
      host: assignedHalf,
      expiresAt: fc.constantFrom('2030-01-02T11:59:00.000Z', '2030-01-08T00:00:00.000Z'),
    })
    .map(assignmentOf),
)
const half: fc.Arbitrary<Half | null> = fc.option(
  fc
    .record({
      releaseId: ids,
      attempt: fc.integer({ min: 1, max: 2 }),
      phase: fc.constantFrom(...phases),
      tries: fc.integer({ min: 0, max: 6 }),
      isRestarting: fc.boolean(),
    })
    .map(({ releaseId, ...change }) => ({ ...stagedHalf(assignedRelease(releaseId)), ...change })),
)
const soak: fc.Arbitrary<Soak | null> = fc.option(
  fc.record({
    sinceMs: fc.integer({ min: 0, max: 1_000_000 }),
    lookedMs: fc.integer({ min: 995_001, max: 1_000_000 }),
    healthyMs: fc.option(fc.integer({ min: 0, max: 1_000_000 })),
    look: fc.record({ isHealthy: fc.boolean(), message: fc.constant('look'), log: fc.constant('') }),
    isContacted: fc.boolean(),
  }),
)
const seen: fc.Arbitrary<Seen> = fc.record({
  hasDriver: fc.boolean(),
  running: fc.constantFrom(undefined, null, 'r1', 'r2', 'r3'),
  isDownloaded: fc.boolean(),
  pauseUntilMs: fc.constantFrom(0, 2_000_000),
  restartingSinceMs: fc.constantFrom(null, 0, 999_000),
  isReturnTold: fc.boolean(),
  soak,
})
const picture = fc.record({
  state: fc.record({ app: half, host: half }),
  assignment,
  seen: fc.record({ app: seen, host: seen }),
  believedMs: fc.constantFrom(null, nowMs),
  offsets: fc.constant([[0, 0]] as [number, number][]),
})
const planned = ({ state, assignment: wanted, seen: both, believedMs, offsets }: Picture) =>
  nextStep(state, wanted, both, { monotonicMs: 1_000_000, believedMs, offsets })
type Picture = typeof picture extends fc.Arbitrary<infer Value> ? Value : never

test('nothing begins that may not: held, expired, outside its window, without the time, unassigned, failed, or before the host', () => {
  fc.assert(
    fc.property(picture, (given) => {
      const step = planned(given)
      if (step.kind !== 'download' && step.kind !== 'apply') return
      const before = given.state[step.name]
      expect(before).not.toBeNull()
      // What was begun goes on whatever the assignment says now.
      if (before?.phase === 'applying') return
      const wanted = given.assignment?.[step.name]
      expect(isWaiting(before)).toBe(true)
      expect(wanted).toMatchObject({ releaseId: step.half.releaseId, attempt: step.half.attempt, held: false })
      expect(given.believedMs).toBe(nowMs)
      expect(Date.parse(given.assignment?.expiresAt ?? '')).toBeGreaterThan(nowMs)
      expect(isOpen(wanted?.window ?? null, given.offsets, nowMs)).toBe(true)
      const other: HalfName = step.name === 'app' ? 'host' : 'app'
      expect(isBegun(given.state[other])).toBe(false)
      if (step.name === 'app' && given.assignment?.host?.held === false) expect(isWaiting(given.state.host)).toBe(false)
      expect(step.force).toBe(wanted?.force)
    }),
    { numRuns: 5_000 },
  )
})

test('what failed stays so while release and attempt are the same, and what succeeded is never done again', () => {
  fc.assert(
    fc.property(picture, (given) => {
      const step = planned(given)
      if (step.kind === 'wait') return
      const before = given.state[step.name]
      const final = ['succeeded', 'failed', 'rolled-back', 'not-supported']
      if (before === null || !final.includes(before.phase)) return
      // Only another release or another attempt changes what is final.
      expect(step.kind).toBe('note')
      const isSame = step.half?.releaseId === before.releaseId && step.half.attempt === before.attempt
      expect(isSame).toBe(false)
      if (before.phase === 'succeeded' && step.half?.releaseId === before.releaseId) {
        expect(step.half.phase).toBe('succeeded')
      }
    }),
    { numRuns: 5_000 },
  )
})

test('it is committed only after its soak, healthy, running, and heard; it is left only where it was begun', () => {
  fc.assert(
    fc.property(picture, (given) => {
      const step = planned(given)
      if (step.kind === 'commit') {
        const { soak: watched } = given.seen[step.name]
        expect(watched).toMatchObject({ isContacted: true, look: { isHealthy: true } })
        expect(1_000_000 - (watched?.sinceMs ?? 0)).toBeGreaterThanOrEqual(step.half.soakSeconds * 1000)
      }
      if (step.kind === 'roll-back') expect(given.state[step.name]?.phase).toBe('rolling-back')
      if (step.kind === 'note' && step.half?.phase === 'succeeded') {
        expect(given.state[step.name]?.phase).toBe('succeeded')
      }
    }),
    { numRuns: 5_000 },
  )
})

test('every step changes something or waits, and whatever comes of it is remembered so that it can be read again', () => {
  const outcomes = fc.constantFrom<Outcome>(
    { kind: 'done' },
    { kind: 'restarting' },
    { kind: 'locked', message: 'locked' },
    { kind: 'unsupported', message: 'not here' },
    { kind: 'no-way-back', message: 'never' },
    { kind: 'failed', message: 'failed', log: 'last words' },
  )
  fc.assert(
    fc.property(picture, outcomes, (given, outcome) => {
      const step = planned(given)
      if (step.kind === 'wait') return void expect(step.againInMs).toBeGreaterThanOrEqual(100)
      if (step.kind === 'note') return void expect(step.half).not.toEqual(given.state[step.name])
      const { half: after, pauseMs } = afterStep(step, outcome)
      const stored = { ...after, sha256: 'a'.repeat(64) }
      expect(readStoredReleases({ app: stored }).app).toEqual(stored)
      expect(pauseMs).toBeGreaterThanOrEqual(0)
      if (outcome.kind === 'failed' && step.kind === 'apply') {
        expect(after).toMatchObject({ phase: 'rolling-back', log: 'last words' })
      }
      if (step.kind === 'roll-back') {
        if (outcome.kind === 'no-way-back') expect(after.phase).toBe('failed')
        // Waiting for a lock uses no try up, and never ends in looking as if it was left.
        if (outcome.kind === 'locked')
          expect(after).toMatchObject({ phase: 'rolling-back', tries: Math.max(1, step.half.tries - 1) })
      }
      if (outcome.kind === 'failed' && step.kind === 'download')
        expect(['downloading', 'failed']).toContain(after.phase)
    }),
    { numRuns: 5_000 },
  )
})

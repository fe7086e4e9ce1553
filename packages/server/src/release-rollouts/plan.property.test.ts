import {
  type MemberCounts,
  type MemberState,
  memberStates,
  type ReleasePhase,
  releasePhaseSchema,
} from '@freehold/contracts'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { advance, emptyCounts, type RolloutView } from './kind.ts'
import { chunkSize, createMembers } from './members.ts'
import { cutPhases, isMoreThan, leastOf, membersHash } from './plan.ts'

const groups = ['01900000-0000-7000-8000-00000000000a', '01900000-0000-7000-8000-00000000000b']
const memberList = fc
  .uniqueArray(fc.uuid({ version: 7 }), { maxLength: 200 })
  .chain((ids) =>
    fc.tuple(
      ...ids.map((deviceId) =>
        fc.record({ deviceId: fc.constant(deviceId), groupId: fc.option(fc.constantFrom(...groups)) }),
      ),
    ),
  )
const size = fc.oneof(
  fc.record({ percent: fc.integer({ min: 0, max: 1000 }).map((tenths) => tenths / 10) }),
  fc.record({ count: fc.integer({ min: 1, max: 50 }) }),
  fc.constant({}),
)
const thresholds = fc.record({
  successPercent: fc.integer({ min: 0, max: 100 }),
  errorPercent: fc.integer({ min: 0, max: 100 }),
  soakMinutes: fc.integer({ min: 0, max: 3 }),
  approval: fc.boolean(),
})
const phase = fc
  .tuple(size, thresholds, fc.option(fc.constantFrom(...groups)))
  .map(
    ([how, rules, groupId]): ReleasePhase =>
      releasePhaseSchema.parse({ ...how, ...rules, ...(groupId === null ? {} : { groupId }) }),
  )
const phaseList = fc
  .tuple(fc.array(phase, { maxLength: 6 }), thresholds)
  .map(([before, last]) => [...before, releasePhaseSchema.parse(last)])
const rolloutId = fc.uuid({ version: 7 })

describe('cutting a rollout into phases', () => {
  it('puts every member into exactly one phase, whatever the order they come in', () => {
    fc.assert(
      fc.property(memberList, phaseList, rolloutId, (members, phases, id) => {
        const cut = cutPhases({ rolloutId: id, members, phases })
        expect(cut.deviceIds.toSorted()).toEqual(members.map(({ deviceId }) => deviceId).toSorted())
        expect(cut.sizes.reduce((sum, each) => sum + each, 0)).toBe(members.length)
        expect(cutPhases({ rolloutId: id, members: members.toReversed(), phases })).toEqual(cut)
        expect(membersHash(cut.deviceIds)).toBe(membersHash(members.map(({ deviceId }) => deviceId)))
      }),
    )
  })

  it('never gives a phase more than it asks for, nor nothing where it could have something', () => {
    fc.assert(
      fc.property(memberList, phaseList, rolloutId, (members, phases, id) => {
        const { deviceIds, sizes } = cutPhases({ rolloutId: id, members, phases })
        const groupOf = new Map(members.map(({ deviceId, groupId }) => [deviceId, groupId]))
        let start = 0
        for (const [index, { percent, count, groupId }] of phases.entries()) {
          const taken = sizes[index] ?? 0
          const own = deviceIds.slice(start, start + taken)
          const after = deviceIds
            .slice(start + taken)
            .filter((each) => groupId === undefined || groupOf.get(each) === groupId)
          if (groupId !== undefined) expect(own.every((each) => groupOf.get(each) === groupId)).toBe(true)
          if (index < phases.length - 1) {
            if (percent !== undefined)
              expect(taken).toBeLessThanOrEqual(Math.max(1, Math.ceil((percent * members.length) / 100)))
            if (count !== undefined) expect(taken).toBeLessThanOrEqual(count)
            if (after.length > 0) expect(taken).toBeGreaterThan(0)
          }
          start += taken
        }
      }),
    )
  })
})

describe('thresholds', () => {
  it.each([
    [3, 3, 100, false],
    [4, 3, 100, true],
    [0, 0, 100, false],
    [1, 0, 100_000, true],
    [1, 33.3, 3, true],
    [333, 33.3, 1000, false],
    [334, 33.3, 1000, true],
    [7, 0.7, 1000, false],
  ])('%i failures are more than %d %% of %i: %s', (part, percent, all, expected) => {
    expect(isMoreThan(part, percent, all)).toBe(expected)
  })

  it.each([
    [90, 10, 9],
    [90, 11, 10],
    [5, 1, 1],
    [100, 7, 7],
    [0.1, 1000, 1],
    [0.1, 1001, 2],
    [0, 50, 0],
  ])('%d %% of %i are at least %i', (percent, all, expected) => {
    expect(leastOf(percent, all)).toBe(expected)
  })

  it('agree with exact fractions', () => {
    fc.assert(
      fc.property(fc.nat(100_000), fc.nat(10_000), fc.nat(100_000), (part, hundredths, all) => {
        const exact = BigInt(part) * 10_000n > BigInt(hundredths) * BigInt(all)
        expect(isMoreThan(part, hundredths / 100, all)).toBe(exact)
        const least = BigInt(leastOf(hundredths / 100, all))
        expect(least * 10_000n >= BigInt(hundredths) * BigInt(all)).toBe(true)
        if (least > 0n) expect((least - 1n) * 10_000n < BigInt(hundredths) * BigInt(all)).toBe(true)
      }),
    )
  })
})

const counts = fc.tuple(...memberStates.map(() => fc.nat(20))).map((numbers): MemberCounts => {
  const all = emptyCounts()
  for (const [index, state] of memberStates.entries()) all[state] = numbers[index] ?? 0
  return all
})
const view = phaseList.chain((phases) =>
  fc.record({
    phases: fc.constant(phases),
    counts: fc.tuple(...phases.map(() => counts)),
    open: fc.nat(phases.length),
    data: fc.record({
      paused: fc.boolean(),
      aborted: fc.constantFrom(null, 'keep' as const, 'revert' as const),
      approvedPhases: fc.nat(phases.length),
      attempt: fc.constant(2),
    }),
    stoppedAttempt: fc.constantFrom(0, 1, 2),
    watchedMs: fc.nat(240_000),
    isWithdrawn: fc.boolean(),
    revertsLeft: fc.nat(3),
    skippedReverts: fc.nat(3),
    now: fc.constant('2026-03-01T01:00:00.000Z'),
  }),
)

function viewOf({ open, ...rest }: Omit<RolloutView, 'status'> & { open: number }): RolloutView {
  const openedAt = '2026-03-01T00:00:00.000Z'
  return {
    ...rest,
    status: {
      state: 'running',
      message: '',
      phase: Math.max(0, open - 1),
      phases: rest.counts.map((each, index) => ({
        members: 0,
        counts: each,
        openedAt: index < open ? openedAt : null,
        reachedAt: null,
      })),
      counts: emptyCounts(),
      startedAt: openedAt,
      finishedAt: null,
    },
  }
}

const left = ({ left: gone, ...others }: MemberCounts) =>
  Object.values(others).reduce((sum, each) => sum + each, gone - gone)

describe('deciding', () => {
  it('opens no phase unless the one before has its successes, was watched, and the next is approved', () => {
    fc.assert(
      fc.property(view, (input) => {
        const before = viewOf(input)
        const after = advance(before)
        for (const [index, { openedAt }] of after.phases.entries()) {
          if (openedAt === null || index < input.open) continue
          const opener = before.phases[index - 1]
          const standing = before.counts[index - 1]
          expect(
            input.data.paused || input.data.aborted !== null || input.isWithdrawn || input.stoppedAttempt === 2,
          ).toBe(false)
          expect(before.phases[index]?.approval === true && index >= input.data.approvedPhases).toBe(false)
          if (opener === undefined || standing === undefined) continue
          if (left(standing) === 0 && standing.left > 0) expect(index).toBeLessThan(input.data.approvedPhases)
          expect(standing.succeeded).toBeGreaterThanOrEqual(leastOf(opener.successPercent, left(standing)))
          const watched = index === input.open ? input.watchedMs : 0
          if (left(standing) > 0) expect(watched).toBeGreaterThanOrEqual(opener.soakMinutes * 60_000)
        }
      }),
      { numRuns: 500 },
    )
  })

  it('never closes a phase, stops above any open threshold, and says the same again when nothing changed', () => {
    fc.assert(
      fc.property(view, (input) => {
        const before = viewOf(input)
        const after = advance(before)
        expect(after.phases.filter(({ openedAt }) => openedAt !== null).length).toBeGreaterThanOrEqual(input.open)
        const isOver = before.phases.some(({ errorPercent }, index) => {
          const each = before.counts[index] ?? emptyCounts()
          return index < input.open && isMoreThan(each.failed + each['rolled-back'], errorPercent, left(each))
        })
        if (input.data.aborted === null && isOver) expect(after.state).toBe('stopped')
        const settled = advance({
          ...before,
          status: after,
          watchedMs: 0,
          stoppedAttempt: after.state === 'stopped' ? 2 : input.stoppedAttempt,
        })
        if (after.state !== 'running' && after.state !== 'soaking' && after.state !== 'waiting-for-approval') {
          expect(settled.state).toBe(after.state)
        }
        expect(settled.phases.map(({ openedAt }) => openedAt)).toEqual(after.phases.map(({ openedAt }) => openedAt))
      }),
      { numRuns: 500 },
    )
  })
})

describe('members', () => {
  it('are the same after they were written down and read again', () => {
    const change = fc.record({
      at: fc.nat(),
      state: fc.constantFrom<MemberState>(...memberStates),
      message: fc.string({ unit: 'grapheme', maxLength: 300 }),
      attempt: fc.nat(1000),
      previous: fc.option(fc.nat(100)),
    })
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 2 * chunkSize + 7 }),
        fc.array(change, { maxLength: 40 }),
        (count, changes) => {
          const cut = {
            deviceIds: Array.from({ length: count }, (_, index) => `device-${index}`),
            sizes: [1, count - 1],
          }
          const members = createMembers(cut)
          for (const { at, state, message, attempt, previous } of changes) {
            const index = at % count
            members.set(index, { state, message, atMs: at * 1000 })
            members.setAttempt(index, attempt)
            if (previous !== null) members.setPrevious(index, previous)
            if (attempt % 2 === 0) members.set(index, { state: 'left', message: '', atMs: at * 1000 })
          }
          const again = createMembers(cut)
          for (const { chunk, fact } of members.takeDirty()) again.restore(chunk, JSON.parse(JSON.stringify(fact)))
          expect(members.isDirty()).toBe(false)
          expect(again.counts).toEqual(members.counts)
          for (const { at } of changes) {
            const index = at % count
            expect(again.at(index)).toEqual(members.at(index))
            expect([again.attemptOf(index), again.previousOf(index), again.hasBegun(index)]).toEqual([
              members.attemptOf(index),
              members.previousOf(index),
              members.hasBegun(index),
            ])
          }
        },
      ),
    )
  })
})

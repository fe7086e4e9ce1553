import { createRandom } from '@freehold/reconcile'
import { expect, test } from 'vitest'
import { createLog } from '../log.ts'
import { createRedactor } from '../secret.ts'
import { createState } from '../state/index.ts'
import { openStateStore } from '../state/store.ts'
import type { Refusal, Verifier } from '../updates/index.ts'
import { createJudge } from './judge.ts'
import { assignmentOf } from './plan.testing.ts'

const minute = 60_000
const hour = 60 * minute

/** A judge whose verifier refuses what `refusal` says; null: it trusts. */
async function judgeOf(seed = 1) {
  const clock = { nowMs: 0 }
  const world = { refusal: null as Refusal['code'] | null, verified: 0 }
  const state = createState({ nodeId: 'kiosk-7' })
  const file = { load: async () => ({ state, problem: null }), save: async () => undefined }
  const store = await openStateStore({ file, nodeId: null })
  const verify: Verifier = async ({ trust }) => {
    world.verified += 1
    const { refusal } = world
    const zone = { name: null, offsets: [], problem: null }
    if (refusal !== null) {
      const refusals = [{ code: refusal, message: 'No.', counter: 1 }]
      return { trust, assignment: null, newest: null, refusals, zone }
    }
    return { trust, assignment: assignmentOf(), newest: { counter: 1, sha256: 'a'.repeat(64) }, refusals: [], zone }
  }
  const judge = createJudge({
    store,
    verify,
    url: 'http://127.0.0.1',
    folder: '/nowhere',
    rootPath: null,
    deviceType: null,
    timeZone: null,
    believedMs: () => 1_900_000_000_000 + clock.nowMs,
    monotonicMs: () => clock.nowMs,
    random: createRandom(seed),
    log: createLog({ write: () => undefined, redactor: createRedactor(), level: 'silent' }),
  })
  const bring = (counter: number) =>
    store.change((before) => ({ ...before, generation: 5, desiredState: { generation: 5, assignment: { counter } } }))
  const run = () => judge.run(new AbortController().signal)
  return { judge, clock, world, bring, run }
}

test.each([
  'assignment-expired',
  'bad-signature',
  'other-device',
  'older-assignment',
  'unsigned',
  'metadata-expired',
  'manifest-mismatch',
  'unreachable',
] as const)('an assignment refused as %s is asked for anew within 20 minutes, and not before 10', async (code) => {
  const { judge, clock, world, bring, run } = await judgeOf()
  expect(judge.wantsAnew()).toBe(false)
  world.refusal = code
  await bring(1)
  await run()
  clock.nowMs = 10 * minute - 1
  expect(judge.wantsAnew()).toBe(false)
  clock.nowMs = 20 * minute
  expect(judge.wantsAnew()).toBe(true)
  judge.noteAskedAnew()
  expect(judge.wantsAnew()).toBe(false)
  // What came is another assignment of the same generation: it is judged at once, and ends the matter.
  world.refusal = null
  await bring(2)
  expect(judge.isDue()).toBe(true)
  await run()
  clock.nowMs += 24 * hour
  expect([judge.refusal(), judge.wantsAnew()]).toEqual([null, false])
})

test('a refusal that stays is asked about ever more rarely, and a fleet that is refused at once does not ask at once', async () => {
  const asksIn = async (seed: number) => {
    const { judge, clock, world, bring, run } = await judgeOf(seed)
    world.refusal = 'assignment-expired'
    await bring(0)
    const asks: number[] = []
    for (; clock.nowMs < 7 * 24 * hour; clock.nowMs += minute) {
      await run()
      if (!judge.wantsAnew()) continue
      asks.push(clock.nowMs)
      judge.noteAskedAnew()
      await bring(asks.length)
    }
    // Each one that came was judged, and none twice.
    expect(world.verified).toBe(asks.length + 1)
    return asks
  }
  const fleet = await Promise.all(Array.from({ length: 50 }, (_, seed) => asksIn(seed)))
  for (const asks of fleet) {
    expect(asks.length).toBeGreaterThan(12)
    expect(asks.length).toBeLessThan(40)
    const last = asks.slice(-3)
    expect((last[2] ?? 0) - (last[1] ?? 0)).toBeGreaterThanOrEqual(6 * hour)
  }
  expect(new Set(fleet.map(([first]) => first)).size).toBeGreaterThan(5)
})

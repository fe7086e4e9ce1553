import { isOpenRollout, type ReleaseRollout, releaseRolloutKind } from '@freehold/contracts'
import { createRandom, type Random } from '@freehold/reconcile'
import { afterEach, expect, it } from 'vitest'
import { isMoreThan, phasesOf } from './plan.ts'
import { type Bed, createBed } from './rollouts.testing.ts'

let bed: Bed
afterEach(() => bed.close())

const way = ['staged', 'downloading', 'applying', 'soaking', 'succeeded']

/** Devices that go their way with what they are assigned, and fail now and then. */
function createDevices(ids: readonly string[], random: Random) {
  const standing = new Map<string, { order: string; state: string }>()
  return {
    ids,
    report(): void {
      for (const id of ids) {
        const assignment = bed.assignments.of(id)
        if (assignment === undefined || random.below(3) > 0) continue
        const order = `${assignment.releaseId} ${assignment.attempt}`
        const known = standing.get(id)
        const before = known?.order === order ? known.state : undefined
        const state = before === 'failed' || before === 'rolled-back' ? before : next(before)
        standing.set(id, { order, state })
        bed.report(id, state)
      }
    },
  }

  function next(before: string | undefined): string {
    if (random.below(600) === 0) return random.below(2) === 0 ? 'failed' : 'rolled-back'
    const at = before === undefined ? -1 : way.indexOf(before)
    return way[Math.min(way.length - 1, at + 1 + random.below(3))] ?? 'staged'
  }
}
type Devices = ReturnType<typeof createDevices>

/** One seed: a fleet, rollouts over it, and whatever may happen to them, for some hours. */
async function live(seed: number): Promise<void> {
  bed = await createBed()
  const random = createRandom(seed)
  const ids = await bed.devices(60, (index) => (index % 4 === 0 ? { group: 'canary' } : {}))
  const devices = createDevices(ids, random)
  const releases = [await bed.release('1.0.0')]
  let rollout = await bed.create({ releaseId: releases[0] ?? '' })
  const fixed = new Map<string, string>()
  for (let turn = 0; turn < 120; turn++) {
    await happen(random, devices, rollout)
    const newest = await bed.read(rollout.id)
    if (!isOpenRollout(newest.status) && random.below(3) === 0) {
      releases.push(await bed.release(`1.${releases.length}.0`))
      rollout = await bed.create({
        releaseId: releases.at(-1) ?? '',
        phases: [
          { groupId: bed.canaryId, percent: 10 },
          { percent: 5, soakMinutes: 2, errorPercent: 3 },
          { count: 10, approval: random.below(2) === 0 },
          { percent: 30, successPercent: 80, errorPercent: 20 },
          {},
        ],
      })
    }
    await check(rollout.id, { devices: ids, fixed })
  }
  const ended = (await bed.store.all(releaseRolloutKind)).filter(({ status }) => !isOpenRollout(status))
  expect(ended.length).toBeGreaterThan(0)
}

async function happen(random: Random, devices: Devices, rollout: ReleaseRollout): Promise<void> {
  devices.report()
  const { id } = rollout
  const turns: (() => Promise<unknown>)[] = [
    () => bed.restart({ kill: true }),
    () => bed.restart({ kill: false }),
    () => bed.call('pause', { id }),
    () => bed.call('resume', { id }),
    () => bed.call('approve', { id }),
    () => bed.call('retry', { id }),
    async () => {
      if (random.below(4) === 0)
        await bed.call('abort', { id, body: { devices: random.below(2) === 0 ? 'keep' : 'revert' } })
    },
    async () => bed.setBack((random.below(2_000) - 1_000) * 86_400_000),
    async () => bed.pass(random.below(120_000)),
    () =>
      bed.changeDevice(devices.ids[random.below(devices.ids.length)] ?? '', {
        channel: random.below(2) === 0 ? 'beta' : 'stable',
      }),
    async () => bed.assignments.failAfter(random.below(10)),
  ]
  const helps = ['approve', 'resume', 'retry'] as const
  const turn = random.below(turns.length + 20)
  try {
    await (turns[turn] ?? (() => bed.call(helps[random.below(helps.length)] ?? 'approve', { id })))()
  } catch (error) {
    if ((error as { code?: string }).code !== 'conflict') throw error
  }
  await bed.run().catch((error: unknown) => {
    if (!(error instanceof AggregateError)) throw error
  })
  bed.assignments.failAfter(Number.POSITIVE_INFINITY)
  await bed.run()
}

async function check(id: string, seen: { devices: readonly string[]; fixed: Map<string, string> }): Promise<void> {
  const rollout = await bed.read(id)
  const { data, status } = rollout
  const { items } = (await bed.call('members', { id, query: { limit: 500 } })) as {
    items: { deviceId: string; phase: number; state: string }[]
  }
  // Membership never changes, and each member is in one phase.
  const membership = items.map(({ deviceId, phase }) => `${deviceId} ${phase}`).join()
  expect(membership).toBe(seen.fixed.get(id) ?? membership)
  seen.fixed.set(id, membership)
  expect(new Set(items.map(({ deviceId }) => deviceId)).size).toBe(data.memberCount)
  // Nobody is assigned the release whose phase is not open.
  const phaseOf = new Map(items.map(({ deviceId, phase }) => [deviceId, phase]))
  for (const { deviceId, rolloutId } of bed.assignments.log) {
    if (rolloutId === id) expect(status.phases[phaseOf.get(deviceId) ?? -1]?.openedAt).toBeTruthy()
  }
  // What is open stands on successes, and nothing runs on above a threshold.
  for (const [index, phase] of phasesOf(data).entries()) {
    const standing = status.phases[index]
    if (standing?.openedAt == null || !isOpenRollout(status) || data.aborted !== null) continue
    const base = standing.members - standing.counts.left
    if (isMoreThan(standing.counts.failed + standing.counts['rolled-back'], phase.errorPercent, base)) {
      expect(status.state).toBe('stopped')
    }
  }
  for (const state of ['waiting', 'succeeded', 'failed', 'left'] as const) {
    expect(status.counts[state]).toBe(items.filter((member) => member.state === state).length)
  }
  if (data.aborted === 'revert' && status.state === 'aborted') {
    const mine = seen.devices.filter((device) => bed.assignments.of(device)?.rolloutId === id)
    expect(mine.every((device) => items.find(({ deviceId }) => deviceId === device)?.state === 'left')).toBe(true)
  }
}

it.each(Array.from({ length: 4 }, (_, index) => index + 1))(
  'whatever devices say, operators do and clocks show, phases hold (seed %i)',
  { timeout: 120_000 },
  (seed) => live(seed),
)

import { isOpenRollout, type ReleaseRollout, releaseRolloutKind } from '@freehold/contracts'
import { createRandom, type Random } from '@freehold/reconcile'
import { afterEach, expect, it } from 'vitest'
import { isMoreThan, phasesOf } from './plan.ts'
import { type Bed, createBed } from './rollouts.testing.ts'

let bed: Bed
afterEach(() => bed.close())

const states = ['staged', 'downloading', 'applying', 'soaking', 'succeeded', 'succeeded', 'succeeded', 'succeeded']

/** One seed: a fleet, rollouts over it, and whatever may happen to them, for some hours. */
async function live(seed: number): Promise<void> {
  bed = await createBed()
  const random = createRandom(seed)
  const devices = await bed.devices(60, (index) => (index % 4 === 0 ? { group: 'canary' } : {}))
  const releases = [await bed.release('1.0.0')]
  let rollout = await bed.create({ releaseId: releases[0] ?? '' })
  const fixed = new Map<string, string>()
  for (let turn = 0; turn < 120; turn++) {
    await happen(random, { devices, rollout, releases })
    const newest = await bed.read(rollout.id)
    if (!isOpenRollout(newest.status) && random.below(3) === 0) {
      releases.push(await bed.release(`1.${releases.length}.0`))
      rollout = await bed.create({
        releaseId: releases.at(-1) ?? '',
        phases: [
          { percent: 5, soakMinutes: 2, errorPercent: 3 },
          { count: 10, approval: random.below(2) === 0 },
          { percent: 30, successPercent: 80, errorPercent: 20 },
          {},
        ],
      })
    }
    await check(rollout.id, { devices, fixed })
  }
  const ended = (await bed.store.all(releaseRolloutKind)).map(({ status }) => status.state)
  if (process.env.SIMULATION_SEEDS) process.stdout.write(`${seed} ${ended.join(' ')} ${bed.assignments.log.length}\n`)
}

async function happen(
  random: Random,
  { devices, rollout }: { devices: readonly string[]; rollout: ReleaseRollout; releases: readonly string[] },
): Promise<void> {
  for (const device of devices) {
    if (random.below(3) > 0) continue
    const state = random.below(60) === 0 ? 'failed' : (states[random.below(states.length)] ?? 'staged')
    bed.report(device, state)
  }
  const { id } = rollout
  const turns: (() => Promise<unknown>)[] = [
    () => bed.restart({ kill: true }),
    () => bed.restart({ kill: false }),
    () => bed.call('pause', { id }),
    () => bed.call('resume', { id }),
    () => bed.call('approve', { id }),
    () => bed.call('retry', { id }),
    () => bed.call('abort', { id, body: { devices: random.below(2) === 0 ? 'keep' : 'revert' } }),
    async () => bed.setBack((random.below(2_000) - 1_000) * 86_400_000),
    async () => bed.pass(random.below(120_000)),
    () =>
      bed.changeDevice(devices[random.below(devices.length)] ?? '', {
        channel: random.below(2) === 0 ? 'beta' : 'stable',
      }),
    async () => bed.assignments.failAfter(random.below(10)),
  ]
  // Aborts and losses are rarer than the rest, so that rollouts come to their end now and then.
  const turn = random.below(turns.length + 12)
  try {
    await (turns[turn] ?? (() => bed.call(random.below(2) === 0 ? 'approve' : 'resume', { id })))()
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

it.each(Array.from({ length: Number(process.env.SIMULATION_SEEDS ?? 4) }, (_, index) => index + 1))(
  'whatever devices say, operators do and clocks show, phases hold (seed %i)',
  { timeout: 120_000 },
  (seed) => live(seed),
)

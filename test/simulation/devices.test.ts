import {
  type Device,
  type deviceReleasesSchema,
  isOpenRollout,
  releaseKind,
  releaseRolloutKind,
} from '@freehold/contracts'
import { expect, it } from 'vitest'
import type { z } from 'zod'
import { createOperators, type Operators } from './devices-operators.ts'
import { buildWorld, regions, type World } from './devices-world.ts'

const given = process.env.FREEHOLD_SEED
const seed = given === undefined ? Math.floor(Math.random() * 1e9) : Number(given)
const size = Number(process.env.FREEHOLD_SIMULATED_DEVICES ?? 150)
const days = Number(process.env.FREEHOLD_SIMULATED_DAYS ?? 7)
const minute = 60_000
const hour = 60 * minute
/** How long all may take to be where they shall be, once nothing goes wrong any more. */
const calmLimitMs = 24 * hour

/**
 * Real nouns on a real store, real agents, everything else simulated: a week in which devices sleep and lose power, the
 * network loses, repeats, delays and forges, the control plane is killed, and operators do what they like. FREEHOLD_SEED
 * repeats a run; FREEHOLD_SIMULATED_DEVICES=5000 is the whole fleet.
 */
it(`${size} devices through ${days} days: none runs what was not signed for it, skips a gate, or is lost (FREEHOLD_SEED=${seed})`, {
  timeout: 3 * 60 * minute,
}, async () => {
  const world = await buildWorld({ seed, size })
  try {
    const operators = await createOperators(world)
    await firstDay(world, operators)
    for (let day = 1; day < days; day++) await storm(world, operators, 24 * hour)
    await calm(world)
    await allConverge(world, operators)
    expect(world.watch.faults).toEqual([])
    expect(world.watch.counts.begun).toBeGreaterThan(size)
    report(world, operators)
  } catch (error) {
    const at = new Date(world.clock.now()).toISOString()
    const faults = world.watch.faults.join('\n')
    throw new Error(`Seed ${seed} at ${at}: repeat with FREEHOLD_SEED=${seed}\n${faults}`, { cause: error })
  } finally {
    await world.close()
  }
})

/** Nearly all enrol, and get the first release, without a cloud in the sky. */
async function firstDay(world: World, operators: Operators): Promise<void> {
  for (const device of world.devices.slice(0, Math.ceil(size * 0.95))) {
    world.clock.after(world.random.below(hour), () => void device.powerOn())
  }
  await world.pass(3 * hour)
  for (const channel of operators.channels) {
    await operators.rollOut({ channel, releaseId: (await operators.release(0)).id, phases: [] })
  }
  await world.pass(21 * hour)
  expect(world.watch.faults).toEqual([])
}

async function storm(world: World, operators: Operators, durationMs: number): Promise<void> {
  const { random, network, clock } = world
  const endMs = clock.now() + durationMs
  network.isStormy = true
  while (clock.now() < endMs) {
    await world.pass(10 * minute + random.below(20 * minute))
    for (let count = 0; count < size / 40; count++) await disturb(world)
    const turn = random.below(40)
    if (turn === 0) await world.restart({ isKilled: true, downMs: random.below(30 * minute) })
    else if (turn === 1) await world.restart({ isKilled: false, downMs: random.below(5 * minute) })
    else if (turn < 4) network.partitioned.add(random.below(regions))
    else if (turn < 10) network.partitioned.clear()
    else if (turn < 25) await operators.act()
    expect(world.watch.faults).toEqual([])
  }
}

/** One device meets with something. */
async function disturb({ clock, random, devices }: World): Promise<void> {
  const device = devices[random.below(devices.length)]
  if (device === undefined) return
  const turn = random.below(8)
  if (turn === 0) device.cutPower()
  else if (turn < 3) {
    device.cutPower()
    clock.after(random.below(3 * minute), () => void device.powerOn())
  } else if (turn < 5) await device.powerOn()
  else if (turn === 5) device.sleep()
  else if (turn === 6) device.wake()
  else {
    device.machine.isLocked = true
    clock.after(random.below(2 * hour), () => {
      device.machine.isLocked = false
    })
  }
}

async function calm(world: World): Promise<void> {
  world.network.isStormy = false
  world.network.partitioned.clear()
  for (const device of world.devices) {
    device.wake()
    device.machine.isLocked = false
    await device.powerOn()
  }
  // Whatever was on its way has come, and everyone has been heard.
  await world.pass(3 * hour)
}

/** A last rollout of a good release in each channel; then everyone is what the control plane says it shall be. */
async function allConverge(world: World, operators: Operators): Promise<void> {
  await operators.endAll()
  for (const channel of operators.channels) {
    const phases = [{ percent: 10, errorPercent: 100 }, {}]
    await operators.rollOut({ channel, releaseId: (await operators.release(0)).id, phases })
  }
  const endMs = world.clock.now() + calmLimitMs
  let astray: string[] = []
  do {
    await world.pass(30 * minute)
    astray = await whoIsAstray(world)
  } while (astray.length > 0 && world.clock.now() < endMs)
  expect(astray.slice(0, 10), `${astray.length} are astray`).toEqual([])
  expect(await operators.openRollouts()).toEqual([])
  await checkCounts(world)
}

async function whoIsAstray(world: World): Promise<string[]> {
  const { fleet, store } = world.plane()
  const astray: string[] = []
  for (const { nodeId, machine, disk } of world.devices) {
    const id = await world.idOf(nodeId)
    if (id === undefined) {
      astray.push(`${nodeId} is not enrolled`)
      continue
    }
    const { status } = await world.plane().call<Device>(fleet.handlers.devices.get, { params: { id } })
    if (status.state !== 'online') astray.push(`${nodeId} is ${status.state}: ${status.message}`)
    const { clone, claim } = status
    if (clone !== null || claim !== null)
      astray.push(`${nodeId} is said to be two: ${JSON.stringify({ clone, claim })}`)
    const shall = await world
      .plane()
      .call<z.output<typeof deviceReleasesSchema>>(fleet.handlers.devices.releases, { params: { id } })
    if (shall.app === null) continue
    const { releaseId, version, by } = shall.app
    const release = await store.get(releaseKind, releaseId)
    if (release?.status.state !== 'signed') continue
    const { app } = disk.state.releases
    const isThere = machine.running === releaseId && app?.releaseId === releaseId && app.phase === 'succeeded'
    // One that cannot be had on this device is said to be so, and what was there before runs.
    const failed = ['failed', 'rolled-back'].includes(app?.phase ?? '') && app?.releaseId === releaseId
    if (isThere || (failed && by !== 'rollout' && machine.running !== releaseId)) continue
    astray.push(`${nodeId} shall run ${version} by ${by}, and is ${app?.version} ${app?.phase}: ${app?.message}`)
  }
  return astray
}

/** What each member of the newest rollouts is said to be is what it said itself, and the counts are their sums. */
async function checkCounts(world: World): Promise<void> {
  const { fleet, store } = world.plane()
  const rollouts = await store.all(releaseRolloutKind)
  expect(rollouts.filter(({ status }) => isOpenRollout(status))).toEqual([])
  for (const { id, data, status } of rollouts.toSorted((one, other) => other.version - one.version).slice(0, 2)) {
    const counted: Record<string, number> = {}
    for (let cursor: string | null = '0'; cursor !== null; ) {
      const page: { items: { deviceId: string; name: string; state: string }[]; nextCursor: string | null } =
        await world.plane().call(fleet.handlers.releaseRollouts.members, {
          params: { id },
          query: { limit: 500, cursor },
        })
      for (const { name, state } of page.items) {
        counted[state] = (counted[state] ?? 0) + 1
        const app = world.watch.heardOf(name)?.app
        if (state !== 'left') expect([name, app?.releaseId, app?.state]).toEqual([name, data.releaseId, state])
      }
      cursor = page.nextCursor
    }
    expect(status.counts).toMatchObject(counted)
    expect(status.state).toBe('succeeded')
  }
}

function report({ network, watch }: World, { done }: Operators): void {
  process.stdout.write(`devices simulation: ${JSON.stringify({ seed, ...network.counts, ...watch.counts, done })}\n`)
}

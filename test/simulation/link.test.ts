import { label } from '@freehold/cluster-agent'
import { finalPhases, revisionKind } from '@freehold/contracts'
import { expect, it } from 'vitest'
import { buildTown, digestOf, fateNames, rolloutsOf, runningOf, servicesOf, signOf, type Town } from './town.ts'

const given = process.env.FREEHOLD_SEED
const seeds = given === undefined ? [Math.floor(Math.random() * 1e9), 1, 2] : [Number(given)]
const stormMs = 60_000
const lookMs = 100
/** Longer than an agent's longest pause between two tries to link, which is 30 s. */
const longestPauseMs = 45_000

/** Real link server, rollouts and store; real agents; everything else simulated. FREEHOLD_SEED repeats a run. */
it.each(seeds)(
  'agents and control plane agree in the end, and never lie on the way (FREEHOLD_SEED=%i)',
  async (seed) => {
    const town = await buildTown(seed)
    try {
      const watch = createWatch(town)
      for (const service of town.services) await town.push(service, 'good-first')
      await settles(town, watch, 'good-first')
      town.network.isStormy = true
      await storm(town, watch)
      town.network.isStormy = false
      town.network.partitioned.clear()
      await calm(town, watch)
      for (const service of town.services) await town.push(service, 'good-last')
      await settles(town, watch, 'good-last')
      await town.clock.advance(30_000)
      await checkEnd(town)
      expect(town.failures).toEqual([])
      expect(watch.verdicts()).toBeGreaterThan(town.services.length)
      /** Loops that wake each other for nothing would write without end. */
      expect(await town.store().version()).toBeLessThan(3000)
    } catch (error) {
      throw new Error(
        `Seed ${seed} at ${new Date(town.clock.now()).toISOString()}: repeat with FREEHOLD_SEED=${seed}`,
        {
          cause: error,
        },
      )
    } finally {
      await town.stop()
    }
  },
  60_000,
)

async function storm(town: Town, watch: Watch): Promise<void> {
  const { random, network } = town
  const oneOf = <T>(items: readonly T[]): T => items[random.below(items.length)] as T
  const endAt = town.clock.now() + stormMs
  let counter = 0
  while (town.clock.now() < endAt) {
    const choice = random.below(10)
    if (choice < 5) await town.push(oneOf(town.services), `${oneOf(fateNames)}-${++counter}`)
    else if (choice < 7) network.cut(oneOf(town.agents))
    else if (choice < 8) network.partitioned.add(oneOf(town.agents))
    else if (choice < 9) network.partitioned.clear()
    else await town.restart()
    const untilAt = town.clock.now() + 500 + random.below(3000)
    while (town.clock.now() < untilAt) {
      await town.clock.advance(lookMs)
      await watch.look()
    }
  }
}

/** Until the slowest agent has linked again: without its probes no container on its machine counts as healthy. */
async function calm(town: Town, watch: Watch): Promise<void> {
  const endAt = town.clock.now() + longestPauseMs
  while (town.clock.now() < endAt) {
    await town.clock.advance(lookMs)
    await watch.look()
  }
}

/** Runs until every service serves this image and the Swarm runs just that, for at most ten virtual minutes. */
async function settles(town: Town, watch: Watch, sign: string): Promise<void> {
  const endAt = town.clock.now() + 600_000
  let open: string[] = []
  while (town.clock.now() < endAt) {
    await town.clock.advance(lookMs)
    await watch.look()
    open = []
    for (const service of await servicesOf(town.store())) {
      const { currentRevisionId, state, message } = service.status
      const revision = currentRevisionId === null ? undefined : await town.store().get(revisionKind, currentRevisionId)
      if (revision?.data.imageDigest !== digestOf(sign) || state !== 'running')
        open.push(`${service.data.name} is ${state}: ${message}`)
    }
    if (open.length === 0) return
  }
  throw new Error(`It did not settle: ${open.join(' ')}`)
}

interface Watch {
  look(): Promise<void>
  verdicts(): number
}

/** Looks at store and Swarms together, again and again, and checks what must always hold. */
function createWatch(town: Town): Watch {
  const proven = new Set<string>()
  const firstProven = new Set<string>()
  const ended = new Map<string, string>()
  return {
    verdicts: () => ended.size,
    async look() {
      for (const rollout of await rolloutsOf(town.store())) {
        const { phase } = rollout.status
        const before = ended.get(rollout.id)
        if (before !== undefined) expect(phase).toBe(before)
        if (finalPhases.includes(phase)) ended.set(rollout.id, phase)
        if (phase !== 'retiring' && phase !== 'succeeded') continue
        const revision = await town.store().get(revisionKind, rollout.data.revisionId)
        expect(signOf(revision?.data.spec.image ?? '')).toMatch(/^good/)
        proven.add(rollout.data.revisionId)
        firstProven.add(rollout.data.serviceId)
      }
      for (const service of town.services) {
        if (!firstProven.has(service.id) || service.data.volumes.length > 0) continue
        const swarm = town.swarms.get(service.data.clusterId)
        if (swarm === undefined) throw new Error('no Swarm')
        const serving = [...runningOf(swarm, service)].filter(([revision]) => proven.has(revision))
        const count = serving.reduce((sum, [, running]) => sum + running, 0)
        expect(count, `containers that serve ${service.data.name}`).toBeGreaterThanOrEqual(2)
      }
    },
  }
}

async function checkEnd(town: Town): Promise<void> {
  const services = await servicesOf(town.store())
  for (const [clusterId, swarm] of town.swarms) {
    const own = services.filter((service) => service.data.clusterId === clusterId)
    const wanted = own.map((service) => `${service.id}/${service.status.currentRevisionId}`).toSorted()
    const there = [...swarm.services.values()].filter(({ ID }) => ID !== 'foreign')
    const names = there.map(({ Spec }) => `${Spec.Labels[label.service]}/${Spec.Labels[label.revision]}`).toSorted()
    expect(names).toEqual(wanted)
    expect(swarm.services.get('foreign')).toMatchObject({
      Version: { Index: 1 },
      Spec: { Labels: { owner: 'somebody else' } },
    })
  }
  for (const rollout of await rolloutsOf(town.store())) expect(finalPhases).toContain(rollout.status.phase)
}

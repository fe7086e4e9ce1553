import type { Clock, Random } from '@freehold/reconcile'
import type { Engine } from '../docker/engine.ts'
import type { SwarmNetwork, SwarmService } from '../docker/types.ts'
import type { Prober } from '../probes/prober.ts'
import { createNodeEngine } from './engine.ts'
import { createWorld, type SimulatedImage, type SimulatedTask } from './world.ts'

/**
 * A SIMULATION of a Docker Swarm for tests and simulators; nothing here talks to Docker. It keeps what the agent may
 * rely on and no more: names are unique, updates need the present version, tasks take time, a failed one is tried
 * again, placement limits and host ports hold back, whoever waits on events may miss some.
 */
export interface SimulatedSwarm {
  /** The engine of one node, and how its agent asks its containers. */
  engine(nodeName: string): Engine
  prober: Prober
  /** What runs and what is wanted, as `docker` would list it. Change it to play somebody who changes things by hand. */
  readonly services: Map<string, SwarmService>
  readonly tasks: SimulatedTask[]
  readonly networks: SwarmNetwork[]
  /** Runs a step of the Swarm's own work now, for changes made by hand. */
  settle(): void
  /** Ends a container as `docker kill` would. */
  kill(taskId: string): void
  setEngineAway(nodeName: string, away: boolean): void
}

export function createSimulatedEngine(options: {
  clock: Clock
  random: Random
  /** The first one leads. Default: one node. */
  nodes?: string[]
  /** By reference; any other image just runs. */
  images?: Record<string, SimulatedImage>
  /** Throws to let a call fail. */
  beforeCall?: (call: { node: string; name: string }) => void
}): SimulatedSwarm {
  const { clock, random, beforeCall } = options
  const world = createWorld({ clock, random, images: options.images ?? {}, nodes: options.nodes ?? ['node-1'] })
  const { services, tasks, networks, nodes, schedule, end, imageOf } = world
  const isAnswering = (containerId: string) => {
    const task = tasks.find((each) => each.containerId === containerId && each.Status.State === 'running')
    return task !== undefined && !imageOf(task).isUnhealthy
  }
  const look = async (target: { address: string }, signal: AbortSignal) => {
    await clock.sleep(1, signal)
    const passing = isAnswering(target.address)
    return { passing, message: passing ? 'It answers.' : 'It does not answer.' }
  }

  return {
    engine: (nodeName) => createNodeEngine({ world, nodeName, clock, random, beforeCall }),
    prober: { http: look, tcp: look },
    services,
    tasks,
    networks,
    settle: () => schedule(0),
    kill: (taskId) => {
      const task = tasks.find(({ ID }) => ID === taskId)
      if (task) end(task, 'failed', 137, 'task: non-zero exit (137)')
    },
    setEngineAway: (nodeName, away) => {
      const state = nodes.get(nodeName)
      if (!state) return
      state.away = away
      if (away) for (const listener of state.listeners) listener(null)
    },
  }
}

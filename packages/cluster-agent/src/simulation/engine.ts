import type { Clock, Random } from '@freehold/reconcile'
import { type Engine, EngineRefusal, type RunningContainer } from '../docker/engine.ts'
import type { EngineEvent, EngineInfo, EngineLogLine, ServiceSpec, SwarmNode } from '../docker/types.ts'
import type { SimulatedTask, World } from './world.ts'

/** The engine of one node of a simulated Swarm; each call takes some virtual milliseconds. */
export function createNodeEngine(options: {
  world: World
  nodeName: string
  clock: Clock
  random: Random
  beforeCall?: ((call: { node: string; name: string }) => void) | undefined
}): Engine {
  const { world, nodeName, clock, random } = options
  const { services, tasks, networks, nodes, emit, schedule, imageOf, nextNumber } = world
  const call = async <T>(name: string, signal: AbortSignal, work: () => T): Promise<T> => {
    const state = nodes.get(nodeName)
    await clock.sleep(1 + random.below(5), signal)
    signal.throwIfAborted()
    if (!state || state.away) throw new Error(`The simulated engine of ${nodeName} does not answer.`)
    options.beforeCall?.({ node: nodeName, name })
    return work()
  }

  async function* eventsOf(signal: AbortSignal): AsyncGenerator<EngineEvent> {
    await call('events', signal, () => undefined)
    const queue: (EngineEvent | null)[] = []
    let wake = () => {}
    const listener = (event: EngineEvent | null) => {
      queue.push(event)
      wake()
    }
    const stopListening = () => listener(null)
    nodes.get(nodeName)?.listeners.add(listener)
    signal.addEventListener('abort', stopListening, { once: true })
    try {
      for (;;) {
        if (queue.length === 0) await new Promise<void>((resolve) => (wake = resolve))
        const event = queue.shift()
        if (event === null) return
        if (event) yield event
      }
    } finally {
      nodes.get(nodeName)?.listeners.delete(listener)
      signal.removeEventListener('abort', stopListening)
    }
  }

  const linesOf = (from: SimulatedTask[]): EngineLogLine[] =>
    from.flatMap((task) =>
      (imageOf(task).log ?? []).map((line) => ({
        at: new Date(task.startedAtMs).toISOString(),
        stream: 'stdout' as const,
        taskId: task.ID,
        nodeId: task.NodeID ?? '',
        line,
      })),
    )
  const own = () => nodes.get(nodeName)?.node as SwarmNode
  const on = <T>(name: string, signal: AbortSignal, work: () => T) => call(name, signal, work)
  return {
    address: `simulation:${nodeName}`,
    info: (signal) => on('info', signal, () => infoOf(own())),
    initSwarm: (_, signal) => on('initSwarm', signal, () => undefined),
    nodes: (signal) => on('nodes', signal, () => structuredClone([...nodes.values()].map(({ node }) => node))),
    services: (signal) => on('services', signal, () => structuredClone([...services.values()])),
    networks: (signal) => on('networks', signal, () => structuredClone(networks)),
    tasks: ({ label }, signal) =>
      on('tasks', signal, () =>
        tasks.filter((task) => hasLabel(task.Spec.ContainerSpec?.Labels, label)).map((task) => structuredClone(task)),
      ),
    createOverlayNetwork: ({ name, labels }, signal) =>
      on('createOverlayNetwork', signal, () => {
        if (networks.some(({ Name }) => Name === name)) throw new EngineRefusal(409, `network ${name} already exists`)
        networks.push({
          Id: `network-${nextNumber()}`,
          Name: name,
          Driver: 'overlay',
          Scope: 'swarm',
          Attachable: true,
          Labels: labels,
        })
      }),
    createService: ({ spec }, signal) =>
      on('createService', signal, () => {
        if ([...services.values()].some(({ Spec }) => Spec.Name === spec.Name)) {
          throw new EngineRefusal(409, 'rpc error: name conflicts with an existing object')
        }
        const ID = `service-${nextNumber()}`
        services.set(ID, { ID, Version: { Index: nextNumber() }, Spec: clean(spec) })
        emit(undefined, { Type: 'service', Action: 'create' })
        schedule(5)
      }),
    updateService: ({ id, version, spec }, signal) =>
      on('updateService', signal, () => {
        const service = services.get(id)
        if (!service) throw new EngineRefusal(404, `service ${id} not found`)
        if (service.Version.Index !== version) throw new EngineRefusal(500, 'rpc error: update out of sequence')
        service.Spec = clean(spec)
        service.Version = { Index: nextNumber() }
        emit(undefined, { Type: 'service', Action: 'update' })
        schedule(5)
      }),
    removeService: ({ id }, signal) =>
      on('removeService', signal, () => {
        services.delete(id)
        emit(undefined, { Type: 'service', Action: 'remove' })
        schedule(5)
      }),
    containers: ({ label }, signal) =>
      on('containers', signal, () =>
        tasks
          .filter((task) => task.NodeID === own().ID && task.Status.State === 'running')
          .filter((task) => hasLabel(task.Spec.ContainerSpec?.Labels, label))
          .map(containerOf),
      ),
    containerHealth: ({ id }, signal) =>
      on('containerHealth', signal, () => {
        const task = tasks.find(({ containerId }) => containerId === id)
        return task ? { status: imageOf(task).isUnhealthy ? 'unhealthy' : 'healthy', message: '' } : null
      }),
    containerAddresses: (signal) =>
      on('containerAddresses', signal, () => new Map(tasks.map((task) => [task.containerId, task.containerId]))),
    taskLogs: async function* ({ id }, signal) {
      yield* await on('taskLogs', signal, () => linesOf(tasks.filter((task) => task.ID === id)))
    },
    serviceLogs: async function* ({ id }, signal) {
      yield* await on('serviceLogs', signal, () => linesOf(tasks.filter((task) => task.ServiceID === id)))
    },
    events: (signal) => eventsOf(signal),
  }
}

function containerOf(task: SimulatedTask): RunningContainer {
  const labels = task.Spec.ContainerSpec?.Labels ?? {}
  return { id: task.containerId, labels: { ...labels, 'com.docker.swarm.task.id': task.ID } }
}

/** What JSON would have left of it. */
function clean(spec: ServiceSpec): ServiceSpec {
  return JSON.parse(JSON.stringify(spec)) as ServiceSpec
}

function hasLabel(labels: Record<string, string> | null | undefined, label: string): boolean {
  const [name = '', value] = label.split('=')
  return value === undefined ? labels?.[name] !== undefined : labels?.[name] === value
}

function infoOf(node: SwarmNode): EngineInfo {
  return {
    Name: node.Description.Hostname,
    NCPU: 2,
    MemTotal: 4 * 1024 ** 3,
    OperatingSystem: 'simulated',
    Architecture: 'x86_64',
    ServerVersion: '0.0.0-simulation',
    Swarm: {
      NodeID: node.ID,
      NodeAddr: node.Status.Addr ?? '',
      LocalNodeState: 'active',
      ControlAvailable: true,
      Error: '',
      Cluster: { ID: 'simulated-swarm' },
    },
  }
}

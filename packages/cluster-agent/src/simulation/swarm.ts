import type { Clock, Random } from '@freehold/reconcile'
import { type Engine, EngineRefusal, type RunningContainer } from '../docker/engine.ts'
import type {
  EngineEvent,
  EngineInfo,
  EngineLogLine,
  ServiceSpec,
  SwarmNetwork,
  SwarmNode,
  SwarmService,
  SwarmTask,
} from '../docker/types.ts'
import type { Prober } from '../probes/prober.ts'

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

export interface SimulatedImage {
  /** Milliseconds from assignment to running. Default 300. */
  startMs?: number
  /** Ends with `exitCode` this long after it began to run. */
  crashesAfterMs?: number
  exitCode?: number
  /** Runs, but never answers. */
  isUnhealthy?: boolean
  /** Cannot be pulled. */
  isMissing?: boolean
  log?: string[]
}

export interface SimulatedTask extends SwarmTask {
  containerId: string
  startedAtMs: number
  image: string
  /** What it was made from; another one replaces it. */
  template: string
  /** Its slot, or in global mode its node. */
  placeKey: string
}

interface SimulatedNode {
  node: SwarmNode
  away: boolean
  listeners: Set<(event: EngineEvent | null) => void>
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
  const { clock, random, images = {} } = options
  const services = new Map<string, SwarmService>()
  const tasks: SimulatedTask[] = []
  const networks: SwarmNetwork[] = []
  const nodes = new Map<string, SimulatedNode>()
  let counter = 0
  let isScheduled = false

  for (const name of options.nodes ?? ['node-1']) {
    const isFirst = nodes.size === 0
    nodes.set(name, {
      away: false,
      listeners: new Set(),
      node: {
        ID: `swarm-${name}`,
        Spec: { Role: 'manager', Availability: 'active' },
        Description: { Hostname: name },
        Status: { State: 'ready', Addr: '192.0.2.1' },
        ManagerStatus: { Leader: isFirst },
      },
    })
  }

  const emit = (nodeId: string | undefined, event: EngineEvent) => {
    for (const { node, listeners, away } of nodes.values()) {
      if (!away && (nodeId === undefined || node.ID === nodeId)) for (const listener of listeners) listener(event)
    }
  }
  const emitContainer = (task: SimulatedTask, action: string) => {
    const labels = task.Spec.ContainerSpec?.Labels ?? {}
    emit(task.NodeID, { Type: 'container', Action: action, Actor: { ID: task.containerId, Attributes: labels } })
  }
  const move = (task: SimulatedTask, state: string, more: Partial<SwarmTask['Status']> = {}) => {
    task.Status = { ...task.Status, ...more, State: state, Timestamp: new Date(clock.now()).toISOString() }
  }

  const isEnded = (task: SimulatedTask) => ['failed', 'rejected', 'shutdown', 'complete'].includes(task.Status.State)
  const imageOf = (task: SimulatedTask): SimulatedImage => images[task.image] ?? {}

  const end = (task: SimulatedTask, state: string, exitCode: number, error: string) => {
    if (isEnded(task)) return
    const wasRunning = task.Status.State === 'running'
    const ContainerStatus = { ContainerID: wasRunning ? task.containerId : '', ExitCode: exitCode }
    task.DesiredState = 'shutdown'
    move(task, state, { Err: error, ContainerStatus })
    if (wasRunning) emitContainer(task, 'die')
    schedule(50)
  }
  const start = (task: SimulatedTask) => {
    const image = imageOf(task)
    if (isEnded(task)) return
    if (image.isMissing) return end(task, 'rejected', 0, `No such image: ${task.image}`)
    if (task.DesiredState !== 'running') return end(task, 'shutdown', 0, '')
    task.startedAtMs = clock.now()
    move(task, 'running', { ContainerStatus: { ContainerID: task.containerId, ExitCode: 0 }, Message: 'started' })
    emitContainer(task, 'start')
    if (image.crashesAfterMs === undefined) return
    const exitCode = image.exitCode ?? 1
    clock.after(image.crashesAfterMs, () => end(task, 'failed', exitCode, `task: non-zero exit (${exitCode})`))
  }

  const newTask = (service: SwarmService, place: { slot?: number; nodeId?: string }, restartDelayMs: number): void => {
    const container = service.Spec.TaskTemplate.ContainerSpec
    const task: SimulatedTask = {
      ID: `task-${++counter}`,
      ServiceID: service.ID,
      ...(place.slot === undefined ? {} : { Slot: place.slot }),
      DesiredState: 'running',
      Spec: { ContainerSpec: { Labels: container.Labels ?? {} } },
      Status: { Timestamp: new Date(clock.now()).toISOString(), State: 'pending', Message: 'pending task scheduling' },
      containerId: `container-${counter}`,
      startedAtMs: 0,
      image: container.Image,
      template: templateOf(service.Spec),
      placeKey: placeKey(place),
    }
    tasks.push(task)
    clock.after(restartDelayMs, () => assign(task, service, place.nodeId))
  }
  const assign = (task: SimulatedTask, service: SwarmService, wantedNodeId: string | undefined): void => {
    if (isEnded(task)) return
    if (task.DesiredState !== 'running') {
      end(task, 'shutdown', 0, '')
      return
    }
    const node = pick(service, wantedNodeId)
    if (!node) {
      move(task, 'pending', {
        Err: 'no suitable node (host-mode port already in use or max replicas per node limit exceed)',
      })
      clock.after(500, () => assign(task, service, wantedNodeId))
      return
    }
    task.NodeID = node.ID
    move(task, 'preparing', { Err: '' })
    clock.after((imageOf(task).startMs ?? 300) * (0.5 + random.next()), () => start(task))
  }
  const pick = (service: SwarmService, wantedNodeId: string | undefined): SwarmNode | undefined => {
    const limit = service.Spec.TaskTemplate.Placement?.MaxReplicas ?? 0
    const ports = portsOf(service.Spec)
    const fits = [...nodes.values()]
      .map(({ node }) => node)
      .filter((node) => {
        if (wantedNodeId !== undefined && node.ID !== wantedNodeId) return false
        const here = tasks.filter((task) => task.NodeID === node.ID && !isEnded(task))
        if (limit > 0 && here.filter((task) => task.ServiceID === service.ID).length >= limit) return false
        return !here.some((task) => portsUsed(task).some((port) => ports.includes(port)))
      })
    return fits[random.below(fits.length)]
  }
  const portsByService = new Map<string, number[]>()
  const portsUsed = (task: SimulatedTask) => portsByService.get(task.ServiceID) ?? []

  const orchestrate = () => {
    isScheduled = false
    for (const service of services.values()) {
      portsByService.set(service.ID, portsOf(service.Spec))
      const own = tasks.filter((task) => task.ServiceID === service.ID)
      const template = templateOf(service.Spec)
      for (const task of own) if (task.template !== template) stop(task)
      const places = service.Spec.Mode.Global
        ? [...nodes.values()].map(({ node }) => ({ nodeId: node.ID }))
        : Array.from({ length: service.Spec.Mode.Replicated?.Replicas ?? 1 }, (_, slot) => ({ slot: slot + 1 }))
      const isAt = (task: SimulatedTask, place: { slot?: number; nodeId?: string }) => task.placeKey === placeKey(place)
      for (const task of own) if (!places.some((place) => isAt(task, place))) stop(task)
      for (const place of places) {
        const here = own.filter((task) => isAt(task, place))
        if (here.some((task) => !isEnded(task))) continue
        newTask(service, place, here.some((task) => task.Status.State !== 'shutdown') ? 2_000 : 0)
        for (const old of here.slice(0, -4)) tasks.splice(tasks.indexOf(old), 1)
      }
    }
    for (const task of [...tasks]) {
      if (services.has(task.ServiceID)) continue
      if (isEnded(task)) tasks.splice(tasks.indexOf(task), 1)
      else stop(task)
    }
  }
  const stop = (task: SimulatedTask) => {
    if (task.DesiredState !== 'running' || isEnded(task)) return
    task.DesiredState = 'shutdown'
    clock.after(100 + random.below(200), () => end(task, 'shutdown', 0, ''))
  }
  const schedule = (delayMs: number) => {
    if (isScheduled) return
    isScheduled = true
    clock.after(delayMs, orchestrate)
  }

  const call = async <T>(nodeName: string, name: string, signal: AbortSignal, work: () => T): Promise<T> => {
    const state = nodes.get(nodeName)
    await clock.sleep(1 + random.below(5), signal)
    signal.throwIfAborted()
    if (!state || state.away) throw new Error(`The simulated engine of ${nodeName} does not answer.`)
    options.beforeCall?.({ node: nodeName, name })
    return work()
  }

  const engine = (nodeName: string): Engine => {
    const own = () => nodes.get(nodeName)?.node as SwarmNode
    const on = <T>(name: string, signal: AbortSignal, work: () => T) => call(nodeName, name, signal, work)
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
            Id: `network-${++counter}`,
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
          const ID = `service-${++counter}`
          services.set(ID, { ID, Version: { Index: ++counter }, Spec: clean(spec) })
          emit(undefined, { Type: 'service', Action: 'create' })
          schedule(5)
        }),
      updateService: ({ id, version, spec }, signal) =>
        on('updateService', signal, () => {
          const service = services.get(id)
          if (!service) throw new EngineRefusal(404, `service ${id} not found`)
          if (service.Version.Index !== version) throw new EngineRefusal(500, 'rpc error: update out of sequence')
          service.Spec = clean(spec)
          service.Version = { Index: ++counter }
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
      events: (signal) => eventsOf(nodeName, signal),
    }
  }

  async function* eventsOf(nodeName: string, signal: AbortSignal): AsyncGenerator<EngineEvent> {
    await call(nodeName, 'events', signal, () => undefined)
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
    engine,
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

function containerOf(task: SimulatedTask): RunningContainer {
  const labels = task.Spec.ContainerSpec?.Labels ?? {}
  return { id: task.containerId, labels: { ...labels, 'com.docker.swarm.task.id': task.ID } }
}

/** What JSON would have left of it. */
function clean(spec: ServiceSpec): ServiceSpec {
  return JSON.parse(JSON.stringify(spec)) as ServiceSpec
}

function templateOf(spec: ServiceSpec): string {
  return JSON.stringify(spec.TaskTemplate)
}

function portsOf(spec: ServiceSpec): number[] {
  return (spec.EndpointSpec?.Ports ?? []).map(({ PublishedPort }) => PublishedPort ?? 0)
}

function placeKey(place: { slot?: number; nodeId?: string }): string {
  return place.nodeId ?? String(place.slot)
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

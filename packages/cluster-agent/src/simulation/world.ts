import type { Clock, Random } from '@freehold/reconcile'
import type { EngineEvent, ServiceSpec, SwarmNetwork, SwarmNode, SwarmService, SwarmTask } from '../docker/types.ts'

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

/** The simulated Swarm's state and its own work: starting, ending and replacing containers in virtual time. */
export type World = ReturnType<typeof createWorld>

export function createWorld(options: {
  clock: Clock
  random: Random
  nodes: string[]
  images: Record<string, SimulatedImage>
}) {
  const { clock, random, images } = options
  const services = new Map<string, SwarmService>()
  const tasks: SimulatedTask[] = []
  const networks: SwarmNetwork[] = []
  const nodes = new Map<string, SimulatedNode>()
  let counter = 0
  let isScheduled = false

  for (const name of options.nodes) {
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

  return { services, tasks, networks, nodes, emit, end, schedule, imageOf, nextNumber: () => ++counter }
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

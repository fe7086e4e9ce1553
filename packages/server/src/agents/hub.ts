import {
  type Cluster,
  type Desired,
  FreeholdError,
  type Node,
  nodeKind,
  type Operation,
  type OperationOutput,
  type Rollout,
} from '@freehold/contracts'
import type { Clock } from '@freehold/reconcile'
import type { Store } from '@freehold/store'
import type { Observation } from '../rollouts/index.ts'
import type { Sight } from '../services/index.ts'
import { createDesiredBoard, type DesiredBoard, type PullFor } from './desired.ts'
import { createFeed } from './feed.ts'
import { type Link, type Refusal, serveLink } from './link.ts'
import { newLink, provenAt } from './looks.ts'
import { createOperations } from './operations.ts'
import { reportActor, writeNodes, writeStatuses } from './statuses.ts'
import type { LinkTransport } from './transport.ts'
import { type ClusterSnapshot, type ClusterView, createClusterView } from './view.ts'

/** A link that ended may come back within this time without anything being called offline. */
const offlineGraceMs = 5000
const seenFactIntervalMs = 10_000
/** An agent that still reports on an older desired state is told again: something may have been lost on its side. */
const retellMs = 15_000

export interface AgentHub {
  /** Serves a connection from an agent until it ends. */
  accept(transport: LinkTransport): void
  /**
   * One pass: reads what changed, tells agents what is desired, writes what they report. Takes no input; run it when
   * the store changes, when `onSignal` calls, and after `againInMs`.
   */
  run(signal: AbortSignal): Promise<{ againInMs?: number }>
  /** Calls when links or reports have changed. Returns the unsubscribe. */
  onSignal(listener: () => void): () => void
  /** What agents see of a rollout's service. Asks them to look again, so that soon it is known whether that still holds. */
  observe(rollout: Rollout): Observation
  /** What agents see of a service, for its status. */
  sightOf(service: { id: string; clusterId: string }): Sight
  /**
   * Asks the agent of a cluster: the Swarm leader's, else any manager's. Throws `agent-offline` at once where none is
   * linked; see `Operations.ask` for the rest.
   */
  request(clusterId: string, operation: Operation, options: { signal: AbortSignal }): AsyncIterable<OperationOutput>
  /** Nodes with a live link. */
  linkedNodes(): number
  /** Ends every link. */
  close(): void
}

interface Entry {
  view: ClusterView
  board: DesiredBoard
  /** Services to read again, for what is desired and for their status. */
  changed: Set<string>
  /** Services whose status waits until it is clear whether a link comes back. */
  undecided: Set<string>
  isDirty: boolean
  /** Whether the statuses written last came from an agent that reports; null before any. */
  wasReporting: boolean | null
}

export function createAgentHub(options: {
  store: Store
  clock: Clock
  serverVersion: string
  registryHost: () => string
  registryFor: (cluster: Cluster) => Desired['registry']
  /** Absent: no image needs credentials but those of our own registry. */
  pullFor?: PullFor
}): AgentHub {
  const { store, clock } = options
  const boardOptions = { registryFor: options.registryFor, pullFor: options.pullFor ?? (async () => null) }
  const entries = new Map<string, Entry>()
  const operations = createOperations({ clock })
  const listeners = new Set<() => void>()
  const seenAt = new Map<string, number>()
  const startedAt = clock.now()
  const feed = createFeed(store)
  let isClosed = false
  let isPresenceLoaded = false

  const signal = (): void => {
    for (const listener of listeners) listener()
  }
  const entryOf = (clusterId: string): Entry => {
    const found = entries.get(clusterId)
    if (found !== undefined) return found
    const board = createDesiredBoard({ clusterId, ...boardOptions })
    const view = createClusterView(clusterId)
    const entry: Entry = { view, board, changed: new Set(), undecided: new Set(), isDirty: true, wasReporting: null }
    entries.set(clusterId, entry)
    return entry
  }
  const objection = (link: Link, swarmNodeId: string | null): Omit<Refusal, 'type'> | undefined => {
    if (swarmNodeId === null) return undefined
    for (const { view } of entries.values()) {
      for (const other of view.links.values()) {
        if (other.link.nodeId === link.nodeId || other.facts.swarmNodeId !== swarmNodeId) continue
        return {
          reason: 'node-taken',
          message: `Another agent (${other.link.nodeName}) is connected for this very machine of the Swarm. Stop one of the two.`,
          final: false,
        }
      }
    }
    return undefined
  }
  /** Two Swarms must not take turns in one cluster, nor two clusters share a Swarm. */
  const strangeSwarm = (link: Link, swarmId: string): Omit<Refusal, 'type'> | undefined => {
    for (const { view } of entries.values()) {
      const leader = view.leader()
      if (leader === undefined || leader.link.nodeId === link.nodeId) continue
      const isSame = leader.report?.cluster?.swarmId === swarmId
      if (isSame === (view.clusterId === link.clusterId)) continue
      return {
        reason: 'wrong-cluster',
        message: isSame
          ? `This Swarm belongs to another cluster already (its agent ${leader.link.nodeName} is connected there).`
          : `This machine leads another Swarm than ${leader.link.nodeName}, which is connected for this cluster. Join it to that Swarm, or enrol it in a cluster of its own.`,
        final: false,
      }
    }
    return undefined
  }

  const ready = (link: Link): Omit<Refusal, 'type'> | undefined => {
    if (isClosed) return { reason: 'protocol', message: 'The control plane is stopping.', final: false }
    const objected = objection(link, link.facts.swarmNodeId)
    if (objected !== undefined) return objected
    const entry = entryOf(link.clusterId)
    entry.view.links.get(link.nodeId)?.link.close('replaced by a newer link of the same agent')
    entry.view.links.set(link.nodeId, newLink(link))
    entry.view.lost.delete(link.nodeId)
    entry.view.offline.delete(link.nodeId)
    entry.view.touched.add(link.nodeId)
    entry.isDirty = true
    link.send({ type: 'welcome', clusterId: link.clusterId, serverVersion: options.serverVersion })
    signal()
    return undefined
  }
  const ended = (link: Link): void => {
    operations.lose(link)
    const entry = entryOf(link.clusterId)
    if (entry.view.links.get(link.nodeId)?.link !== link) return
    entry.view.drop(link.nodeId)
    entry.view.lost.set(link.nodeId, { at: clock.now(), name: link.nodeName })
    entry.isDirty = true
    signal()
  }

  return {
    accept(transport) {
      serveLink({
        transport,
        reads: store,
        clock,
        onReady: ready,
        onClose: ended,
        onMessage: (link, message) => {
          const entry = entryOf(link.clusterId)
          if (entry.view.links.get(link.nodeId)?.link !== link) return
          if (message.type === 'result') return operations.answer(link, message)
          const { report } = message
          const objected =
            objection(link, report.node.swarmNodeId) ??
            (report.cluster === null ? undefined : strangeSwarm(link, report.cluster.swarmId))
          if (objected !== undefined) return link.refuse(objected)
          entry.view.hear(link.nodeId, report, message.look)
          entry.isDirty = true
          if (clock.now() - (seenAt.get(link.nodeId) ?? 0) >= seenFactIntervalMs) {
            seenAt.set(link.nodeId, clock.now())
            store.facts.set(nodeKind, link.nodeId, 'lastSeen', new Date(clock.now()).toISOString())
          }
          signal()
        },
      })
    },
    async run(abort) {
      if (!isPresenceLoaded) {
        await loadPresence()
        isPresenceLoaded = true
      }
      await takeChanges()
      let againInMs: number | undefined
      for (const entry of entries.values()) {
        if (abort.aborted) break
        const graceMs = expire(entry)
        if (graceMs !== undefined) againInMs = Math.min(againInMs ?? graceMs, graceMs)
        if (entry.isDirty || entry.changed.size > 0) await pass(entry)
      }
      return againInMs === undefined ? {} : { againInMs }
    },
    onSignal(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    observe(rollout) {
      const entry = entryOf(rollout.data.clusterId)
      const leader = entry.view.leader()
      const seen = entry.view.seen(rollout.data.serviceId)
      return {
        connected: leader !== undefined,
        provenAtMs: provenAt(entry.view.links.values(), { leader, tasks: seen.tasks, now: clock.now() }),
        current:
          entry.board.composedAt() >= rollout.version && (leader?.report?.generation ?? -1) >= entry.board.generation(),
        ...seen,
      }
    },
    sightOf: (service) => sightOf(entryOf(service.clusterId).view, service.id),
    request(clusterId, operation, { signal: abort }) {
      const view = entries.get(clusterId)?.view
      const link =
        view?.leader()?.link ?? [...(view?.links.values() ?? [])].find((live) => live.facts.role === 'manager')?.link
      if (link === undefined) {
        throw new FreeholdError(
          'agent-offline',
          'No agent on a manager of this cluster is connected. Start it, then try again.',
        )
      }
      return operations.ask(link, operation, abort)
    },
    linkedNodes: () => [...entries.values()].reduce((sum, { view }) => sum + view.links.size, 0),
    close() {
      isClosed = true
      for (const { view } of entries.values()) {
        for (const live of [...view.links.values()]) live.link.close('the control plane is stopping')
      }
    },
  }

  function sightOf(view: ClusterSnapshot, serviceId: string): Sight {
    const cluster = view.leader()?.report?.cluster
    const troubled = [...view.links.values()].find((live) => live.report?.engineProblem != null)
    return {
      reporting: cluster != null,
      message:
        troubled === undefined
          ? 'No agent of the cluster reports, so what runs is not known.'
          : `The engine on ${troubled.link.nodeName} does not answer (${troubled.report?.engineProblem}), so what runs is not known.`,
      ...view.seen(serviceId),
      drift: cluster?.drift.filter((drift) => drift.serviceId === serviceId) ?? [],
    }
  }

  /** Nodes that were online when the control plane stopped get the same grace as those whose link ends now. */
  async function loadPresence(): Promise<void> {
    for (const node of await store.all(nodeKind)) {
      const { view } = entryOf(node.data.clusterId)
      if (view.links.has(node.id)) continue
      if (node.status.state === 'online') view.lost.set(node.id, { at: startedAt, name: node.data.name })
      if (node.status.state === 'offline') view.offline.set(node.id, node.data.name)
    }
  }

  async function takeChanges(): Promise<void> {
    const changes = await feed.take()
    for (const { clusterId, serviceId } of changes.services) entryOf(clusterId).changed.add(serviceId)
    for (const clusterId of changes.clusters) {
      const entry = entries.get(clusterId)
      if (entry !== undefined) entry.isDirty = true
    }
    if (changes.pulls) {
      for (const entry of entries.values()) {
        entry.board.forgetPulls()
        entry.isDirty = true
      }
    }
    if (changes.isIncomplete) {
      for (const entry of entries.values()) {
        entry.board = createDesiredBoard({ clusterId: entry.view.clusterId, ...boardOptions })
        entry.isDirty = true
      }
    }
    for (const node of changes.nodes) dismiss(node)
  }

  /** Closes the link of a node that was revoked or deleted. */
  function dismiss(node: { id: string; clusterId: string; now: Node | null }): void {
    if (node.now !== null && !node.now.data.revoked) return
    const entry = entries.get(node.clusterId)
    if (entry === undefined) return
    const isRevoked = node.now !== null
    entry.view.links.get(node.id)?.link.refuse({
      reason: isRevoked ? 'revoked' : 'unknown-node',
      message: isRevoked ? 'This agent was revoked.' : 'This node was deleted.',
      final: true,
    })
    entry.view.lost.delete(node.id)
    entry.view.offline.delete(node.id)
    entry.view.touched.add(node.id)
    entry.isDirty = true
  }

  /** Calls nodes offline whose grace is over; answers the milliseconds until the next one's is. */
  function expire(entry: Entry): number | undefined {
    const { view } = entry
    let nextMs: number | undefined
    for (const [id, { at, name }] of view.lost) {
      const leftMs = at + offlineGraceMs - clock.now()
      if (leftMs > 0) {
        nextMs = Math.min(nextMs ?? leftMs, leftMs)
        continue
      }
      view.lost.delete(id)
      view.offline.set(id, name)
      view.touched.add(id)
    }
    const silent = silentMs(entry)
    if (silent !== undefined && silent > 0) nextMs = Math.min(nextMs ?? silent, silent)
    else if (silent !== undefined && entry.wasReporting === null) entry.isDirty = true
    if (view.touched.size > 0) entry.isDirty = true
    return nextMs
  }

  /** Until a new link should have reported at last; undefined where all have. */
  function silentMs({ view }: Entry): number | undefined {
    const silent = [...view.links.values()].filter((live) => live.report === null)
    const newest = Math.max(...silent.map((live) => Date.parse(live.link.connectedAt)))
    return silent.length === 0 ? undefined : newest + offlineGraceMs - clock.now()
  }

  async function pass(entry: Entry): Promise<void> {
    const { view, board } = entry
    const changed = entry.changed
    const touched = new Set(view.touched)
    const looksDifferent = view.takeChanged()
    entry.changed = new Set()
    entry.isDirty = false
    view.touched.clear()
    const seen = view.snapshot()
    const isReporting = seen.leader() !== undefined
    /** While a link may yet come back or report, nothing is said about what runs. */
    const isUndecided = !isReporting && (view.lost.size > 0 || (silentMs(entry) ?? 0) > 0)
    const services = new Set([...changed, ...looksDifferent, ...entry.undecided])
    entry.undecided = new Set()
    try {
      await store.transaction(reportActor, async (transaction) => {
        if (view.links.size > 0) await board.refresh(transaction, changed)
        await writeNodes(transaction, seen, touched)
        if (isUndecided) return
        await writeStatuses(transaction, {
          view: seen,
          services,
          isAll: entry.wasReporting !== isReporting,
          sightOf: (serviceId) => sightOf(seen, serviceId),
          registryHost: options.registryHost(),
        })
      })
    } catch (error) {
      for (const id of services) entry.changed.add(id)
      for (const id of touched) view.touched.add(id)
      entry.isDirty = true
      throw error
    }
    if (isUndecided) for (const id of services) entry.undecided.add(id)
    else entry.wasReporting = isReporting
    tell(entry)
  }

  function tell({ view, board }: Entry): void {
    const desired = board.desired()
    if (desired === undefined) return
    for (const live of view.links.values()) {
      const isBehind = live.report !== null && live.report.generation < desired.generation
      const isLate = isBehind && clock.now() - live.toldAt >= retellMs
      if (live.toldGeneration === desired.generation && !isLate) continue
      live.toldGeneration = desired.generation
      live.toldAt = clock.now()
      live.link.send({ type: 'desired', desired })
    }
  }
}

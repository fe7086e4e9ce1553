import type { Report, Task } from '@freehold/contracts'
import { joinReports } from './kind.ts'
import { type LiveLink, noteAnswer } from './looks.ts'

interface Seen {
  tasks: Task[]
  replicas: Map<string, number>
}

/** What is known of a cluster at one moment. */
export interface ClusterSnapshot {
  readonly clusterId: string
  readonly links: ReadonlyMap<string, Readonly<LiveLink>>
  /** Names of the nodes that are offline, by id. */
  readonly offline: ReadonlyMap<string, string>
  /** The link whose agent leads the Swarm, once it has reported on the cluster. */
  leader(): Readonly<LiveLink> | undefined
  seen(serviceId: string): Seen
}

/** What is known of a cluster in this process: who is linked, who is missing, and what the Swarm's leader sees. */
export interface ClusterView extends ClusterSnapshot {
  readonly links: Map<string, LiveLink>
  /** Nodes whose link ended, and when; until their grace is over nothing is said about them. */
  readonly lost: Map<string, { at: number; name: string }>
  readonly offline: Map<string, string>
  /** Nodes whose status may say something else now. */
  readonly touched: Set<string>
  /** As it is now; what is written from it must not change halfway. */
  snapshot(): ClusterSnapshot
  /** `look`: the id of the look this report answers. */
  hear(nodeId: string, report: Report, look?: string): void
  drop(nodeId: string): void
  /** Services whose containers look different since this was asked last. */
  takeChanged(): Set<string>
}

const nothing: Seen = { tasks: [], replicas: new Map() }

export function createClusterView(clusterId: string): ClusterView {
  const links = new Map<string, LiveLink>()
  let leaderId: string | null = null
  let services = new Map<string, Seen>()
  let prints = new Map<string, string>()
  let changed = new Set<string>()
  const touched = new Set<string>()
  const offline = new Map<string, string>()

  const leader = (): LiveLink | undefined => {
    const live = leaderId === null ? undefined : links.get(leaderId)
    return live?.report?.cluster ? live : undefined
  }
  const rejoin = (): void => {
    const lead = leader()
    const reports = [...links.values()].flatMap((live) => (live.report === null ? [] : [live.report]))
    services = lead?.report ? joinReports({ leader: lead.report, all: reports }) : new Map()
    const before = prints
    prints = new Map([...services].map(([id, seen]) => [id, JSON.stringify([seen.tasks, [...seen.replicas]])] as const))
    for (const id of new Set([...before.keys(), ...prints.keys()])) {
      if (before.get(id) !== prints.get(id)) changed.add(id)
    }
  }

  return {
    clusterId,
    links,
    lost: new Map(),
    offline,
    touched,
    leader,
    snapshot() {
      const copies = new Map([...links].map(([id, live]) => [id, { ...live }] as const))
      const lead = leader() === undefined || leaderId === null ? undefined : copies.get(leaderId)
      const joined = services
      return {
        clusterId,
        links: copies,
        offline: new Map(offline),
        leader: () => lead,
        seen: (serviceId) => joined.get(serviceId) ?? nothing,
      }
    },
    hear(nodeId, report, look) {
      const live = links.get(nodeId)
      if (live === undefined) return
      if (look !== undefined) noteAnswer(live, look)
      const probesBefore = JSON.stringify(live.report?.probes ?? [])
      const wasLeading = leaderId === nodeId
      const problemBefore = live.report?.engineProblem ?? null
      if (problemBefore !== report.engineProblem || JSON.stringify(live.facts) !== JSON.stringify(report.node)) {
        touched.add(nodeId)
      }
      live.report = report
      live.facts = report.node
      if (report.cluster !== null) leaderId = nodeId
      else if (wasLeading) leaderId = null
      if (wasLeading || leaderId === nodeId || probesBefore !== JSON.stringify(report.probes)) rejoin()
    },
    drop(nodeId) {
      links.delete(nodeId)
      if (leaderId === nodeId) leaderId = null
      rejoin()
    },
    seen: (serviceId) => services.get(serviceId) ?? nothing,
    takeChanged() {
      const taken = changed
      changed = new Set()
      return taken
    },
  }
}

import {
  type AssignedRelease,
  channelKind,
  deviceHeartbeatPath,
  isOpenRollout,
  type ReleaseManifest,
  type ReleaseRollout,
  releaseRolloutKind,
  type SignedAssignment,
} from '@freehold/contracts'
import type { Store } from '@freehold/store'
import type { SimulatedDevice } from './devices-device.ts'
import type { Passed } from './devices-network.ts'

/** What a device last said of its release, as the control plane heard it. */
export interface Heard {
  boot: number
  sequence: number
  app: { releaseId: string; attempt: number; state: string } | null
}

/**
 * Sees everything that passes the control plane's door and everything devices begin, and keeps account of what must hold:
 *
 * 1. A device begins only what the control plane signed for it, under the very counter.
 * 2. It is told a rollout's release only as a member whose phase is open, and after the rollout ended without success only
 *    where it had begun with it; anybody else only what a pin says, what a channel carries or carried, or what it had
 *    begun with before.
 * 3. No action is begun twice.
 */
export function createDevicesWatch(options: { store: () => Store; now: () => number }) {
  const faults: string[] = []
  /** By node: the release of each assignment that was signed, by counter. */
  const signed = new Map<string, Map<number, string | null>>()
  const heard = new Map<string, Heard>()
  /** By rollout: the phase of each member. */
  const phases = new Map<string, Map<string, number>>()
  /** By node: the releases it ever began with. */
  const begun = new Map<string, Set<string>>()
  const pinned = new Set<string>()
  const carried = new Set<string>()
  const begunActions = new Set<string>()
  const counts = { heartbeats: 0, told: 0, begun: 0 }

  function fault(sentence: string): void {
    if (faults.length < 5) faults.push(`${new Date(options.now()).toISOString()} ${sentence}`)
  }

  async function noteCarried(): Promise<void> {
    for (const { status } of await options.store().all(channelKind)) {
      if (status.releaseId !== null) carried.add(status.releaseId)
    }
  }

  function noteHeard(nodeId: string, request: string): void {
    counts.heartbeats += 1
    const { bootId, sequence, status } = JSON.parse(request) as {
      bootId: string
      sequence: number
      status: { releases: { app: Heard['app'] } | null }
    }
    const before = heard.get(nodeId)
    const boot = Number(bootId.split('-').at(-1))
    // What came late says nothing new.
    if (before !== undefined && (boot < before.boot || (boot === before.boot && sequence < before.sequence))) return
    heard.set(nodeId, { boot, sequence, app: status.releases?.app ?? null })
  }

  async function noteTold(nodeId: string, { signed: assignment }: SignedAssignment): Promise<void> {
    counts.told += 1
    const { app, counter } = assignment
    if (assignment.nodeId !== nodeId) fault(`${nodeId} was told what is for ${assignment.nodeId}.`)
    const bySigned = signed.get(nodeId) ?? new Map<number, string | null>()
    signed.set(nodeId, bySigned)
    if (bySigned.has(counter)) fault(`${nodeId} was told two things under the counter ${counter}.`)
    bySigned.set(counter, app?.releaseId ?? null)
    if (app === null) return
    if (app.rolloutId !== null) await checkGate(nodeId, app, assignment.issuedAt)
    else {
      await noteCarried()
      const isRight = pinned.has(app.releaseId) || carried.has(app.releaseId) || hasBegun(nodeId, app)
      if (!isRight) {
        fault(`${nodeId} was told ${app.version}, which nothing but a rollout brings.${await whyNot(app)}`)
      }
    }
  }

  function noteBegun(nodeId: string, releaseId: string): void {
    const known = begun.get(nodeId) ?? new Set()
    begun.set(nodeId, known.add(releaseId))
  }

  /** What was begun may come back, as what it had before. */
  function hasBegun(nodeId: string, { releaseId }: AssignedRelease): boolean {
    return begun.get(nodeId)?.has(releaseId) === true
  }

  /** What the control plane has about a release, for whoever looks for the mistake. */
  async function whyNot({ releaseId }: AssignedRelease): Promise<string> {
    const rollouts = (await options.store().all(releaseRolloutKind)).filter(({ data }) => data.releaseId === releaseId)
    const said = rollouts.map(({ id, data, status }) => ({
      id,
      channelId: data.channelId,
      previous: data.previousReleaseId,
      state: status.state,
      aborted: data.aborted,
      finishedAt: status.finishedAt,
      counts: status.counts,
    }))
    const channels = (await options.store().all(channelKind)).map(({ id, status }) => ({ id, ...status }))
    return ` ${JSON.stringify({ releaseId, rollouts: said, channels })}`
  }

  async function checkGate(nodeId: string, app: AssignedRelease, issuedAt: string): Promise<void> {
    const rollout = await options.store().get(releaseRolloutKind, app.rolloutId ?? '')
    const phase = phases.get(app.rolloutId ?? '')?.get(nodeId)
    if (rollout === undefined || rollout.data.releaseId !== app.releaseId) {
      fault(`${nodeId} was told ${app.version} by a rollout that does not bring it.`)
    } else if (phase === undefined) {
      fault(`${nodeId} was told ${app.version} by a rollout that it is no member of.`)
    } else if (rollout.status.phases[phase]?.openedAt == null) {
      fault(`${nodeId} was told ${app.version} before phase ${phase + 1} was opened.`)
    } else if (hasFailed(rollout, issuedAt) && !hasBegun(nodeId, app)) {
      fault(`${nodeId} was told ${app.version} after its rollout had ended, and had never begun with it.`)
    } else if (hasFailed(rollout, issuedAt) && app.held) {
      fault(`${nodeId} is held by a rollout that has ended.`)
    }
  }

  return {
    faults,
    counts,
    fault,
    heardOf: (nodeId: string) => heard.get(nodeId),
    noteCarried,
    /** A pin says this release, for whomever. */
    notePinned: (releaseId: string) => void pinned.add(releaseId),
    noteRollout: (rolloutId: string, members: ReadonlyMap<string, number>) =>
      void phases.set(rolloutId, new Map(members)),
    async onPassed({ nodeId, path, request, answer }: Passed): Promise<void> {
      if (path !== deviceHeartbeatPath || answer.status !== 200) return
      noteHeard(nodeId, request)
      if (!answer.body.includes('"assignment":{')) return
      const { desiredState } = JSON.parse(answer.body) as { desiredState: { assignment: SignedAssignment } }
      await noteTold(nodeId, desiredState.assignment)
    },
    onBegin({ nodeId, disk }: SimulatedDevice, { releaseId, version }: ReleaseManifest): void {
      counts.begun += 1
      noteBegun(nodeId, releaseId)
      const { assignment, app } = disk.state.releases
      // What was begun is brought to its end, whatever was assigned since.
      const isAssigned = [...(signed.get(nodeId)?.values() ?? [])].includes(releaseId)
      if (!isAssigned) fault(`${nodeId} began ${version}, which was never signed for it.`)
      if (app?.phase === 'applying' || assignment === null) return
      if (signed.get(nodeId)?.get(assignment.counter) !== releaseId) {
        fault(`${nodeId} began ${version} by the counter ${assignment.counter}, which says something else.`)
      }
    },
    onAction({ nodeId }: SimulatedDevice, actionId: string): void {
      if (begunActions.has(actionId)) fault(`${nodeId} began the action ${actionId} twice.`)
      begunActions.add(actionId)
    },
    /** Counts of a rollout that do not add up, as sentences. */
    checkCounts({ data, status }: ReleaseRollout): void {
      if (status.startedAt === null) return
      const sum = Object.values(status.counts).reduce((all, count) => all + count, 0)
      if (sum !== data.memberCount) fault(`A rollout of ${data.memberCount} members counts ${sum}.`)
      const opened = status.phases.map(({ openedAt }) => openedAt !== null)
      if (opened.lastIndexOf(true) >= 0 && opened.slice(0, opened.lastIndexOf(true)).includes(false)) {
        fault('A phase was opened before the one in front of it.')
      }
      for (const [index, phase] of status.phases.entries()) {
        const { waiting, left, ...standing } = phase.counts
        const busy = Object.values(standing).reduce((all, count) => all + count, 0)
        if (phase.openedAt === null && busy > 0) fault(`${busy} members are busy in phase ${index + 1}, which is shut.`)
        if (waiting + left + busy !== phase.members) fault(`Phase ${index + 1} counts others than its members.`)
      }
      if (status.state === 'succeeded' && !isOpenRollout(status) && status.finishedAt === null) {
        fault('A rollout succeeded and did not finish.')
      }
    },
  }
}
/** True where a rollout had ended by then, and not with success. */
function hasFailed({ status }: ReleaseRollout, at: string): boolean {
  const { state, finishedAt } = status
  return (state === 'aborted' || state === 'superseded') && finishedAt !== null && finishedAt < at
}

export type DevicesWatch = ReturnType<typeof createDevicesWatch>

import {
  type AssignedRelease,
  type Device,
  type deviceReleasesSchema,
  type Release,
  type ReleaseType,
  releaseTypes,
} from '@freehold/contracts'
import type { z } from 'zod'
import type { KeptAssignments } from './assignments.ts'
import type { Basis, Catalog } from './catalog.ts'
import {
  channelIdOf,
  groupOf,
  isPinned,
  type KeptAssignment,
  type Resolved,
  releaseToJoin,
  resolveRelease,
} from './kind.ts'

/** How a rollout wants its release to be taken. */
export interface RolloutTerms {
  window: AssignedRelease['window']
  soakSeconds: number
  force: boolean
  /** Nothing new is begun. */
  held: boolean
}
/** What is taken as said where no rollout says anything. */
const plainTerms: RolloutTerms = { window: null, soakSeconds: 60, force: false, held: false }

/** What is asked of the rollouts; all from memory. */
export interface RolloutsView {
  /** True where the device is a member of an open rollout of the channel. */
  isMember(deviceId: string, channelId: string): boolean
  /** Undefined where there is no such rollout any more. */
  rolloutOf(rolloutId: string): RolloutTerms | undefined
  /** The id of a rollout that may yet give devices this release back, which they had before it. */
  revertingTo(releaseId: string): string | undefined
}

/** What a device shall run, as it is told to it, and what that came from. */
export interface Desired {
  app: AssignedRelease | null
  host: AssignedRelease | null
  basis: Basis
}

/** Bases shared between devices; beyond that new ones are no longer shared with old ones. */
const mostBases = 10_000
/** Rollouts whose terms are remembered as devices were told them; the one told of longest ago is forgotten first. */
const mostTerms = 10_000

type Facts = Record<ReleaseType, KeptAssignment | undefined>

/** Says what devices shall run. Whoever joined a channel gets its release in passing, durably, before it is told. */
export function createDesired(options: { catalog: Catalog; assignments: KeptAssignments; rollouts: RolloutsView }) {
  const { catalog, assignments, rollouts } = options
  const bases = new Map<string, Basis>()
  const toldTerms = new Map<string, string>()

  async function desiredFor(device: Device): Promise<Desired> {
    await catalog.ready()
    const group = groupOf(catalog.groups(), device.labels)
    const facts = followsChannel(device) ? await assignments.keptOf(device.id) : undefined
    const app = await halfOf(device, { type: 'app', group, facts })
    const host = await halfOf(device, { type: 'host', group, facts })
    return {
      app: app.told,
      host: host.told,
      basis: shared({
        groupId: group?.id ?? null,
        appReleaseId: app.resolved?.releaseId ?? null,
        hostReleaseId: host.resolved?.releaseId ?? null,
        appRolloutId: app.resolved?.rolloutId ?? null,
        hostRolloutId: host.resolved?.rolloutId ?? null,
      }),
    }
  }

  /** True where a channel decides a half of it, so that the store must be asked what it was assigned. */
  function followsChannel({ data, labels }: Device): boolean {
    const group = groupOf(catalog.groups(), labels)
    return releaseTypes.some((type) => channelIdOf(group, type) !== null && !isPinned({ type, device: data, group }))
  }

  async function halfOf(
    device: Device,
    input: { type: ReleaseType; group: ReturnType<typeof groupOf>; facts: Facts | undefined },
  ): Promise<{ resolved: Resolved | null; told: AssignedRelease | null }> {
    const { type, group, facts } = input
    const joins = joinOf(device, input)
    const assigned = joins === null ? facts?.[type] : await assignments.join({ deviceId: device.id, type, ...joins })
    const resolved = resolveRelease({ type, device: device.data, group, assigned })
    if (resolved === null) return { resolved, told: null }
    const release = await catalog.release(resolved.releaseId)
    return { resolved, told: release === undefined ? null : toldOf(release, { type, resolved }) }
  }

  /**
   * The channel and release a device is to be given that joined; null where it has what it shall have. Its attempts
   * only rise, so that what it said of an earlier order is not taken for this one.
   */
  function joinOf(
    device: Device,
    input: { type: ReleaseType; group: ReturnType<typeof groupOf>; facts: Facts | undefined },
  ): { channelId: string; releaseId: string; attempt: number; since: string | null } | null {
    const { type, group, facts } = input
    const channelId = channelIdOf(group, type)
    if (device.data.access !== 'allowed' || channelId === null || facts === undefined) return null
    if (isPinned({ type, device: device.data, group })) return null
    const channel = catalog.channel(channelId)
    const releaseId = releaseToJoin({
      channel,
      assigned: facts[type],
      isMember: rollouts.isMember(device.id, channelId),
    })
    if (releaseId === null) return null
    const before = facts[type]
    const attempt = before === undefined ? 0 : before.attempt + 1
    return { channelId, releaseId, attempt, since: channel?.status.since ?? null }
  }

  function toldOf(
    { data, status }: Release,
    { type, resolved }: { type: ReleaseType; resolved: Resolved },
  ): AssignedRelease | null {
    if (status.state !== 'signed' || status.target === null || data.type !== type) return null
    const { releaseId, rolloutId, attempt } = resolved
    const { window, soakSeconds, force, held } = rolloutId === null ? plainTerms : termsOf(rolloutId)
    const { path, sha256 } = status.target
    return {
      releaseId,
      version: data.version,
      target: path,
      sha256,
      rolloutId,
      attempt,
      window,
      soakSeconds,
      force,
      held,
    }
  }

  function termsOf(rolloutId: string): RolloutTerms {
    const terms = rollouts.rolloutOf(rolloutId) ?? plainTerms
    toldTerms.set(rolloutId, textOf(terms))
    const [oldest] = toldTerms.keys()
    if (toldTerms.size > mostTerms && oldest !== undefined) toldTerms.delete(oldest)
    return terms
  }

  function shared(basis: Basis): Basis {
    const key = Object.values(basis).join()
    const known = bases.get(key)
    if (known !== undefined) return known
    if (bases.size >= mostBases) bases.clear()
    bases.set(key, basis)
    return basis
  }

  /** The same for people; nothing is changed by asking. */
  async function resolve(device: Device): Promise<z.output<typeof deviceReleasesSchema>> {
    await catalog.follow()
    const group = groupOf(catalog.groups(), device.labels)
    const facts = await assignments.keptOf(device.id)
    const half = async (type: ReleaseType) => {
      const joins = joinOf(device, { type, group, facts })
      const assigned = joins === null ? facts[type] : { ...joins, rolloutId: null, at: '' }
      const resolved = resolveRelease({ type, device: device.data, group, assigned })
      const release = resolved === null ? undefined : await catalog.release(resolved.releaseId)
      if (resolved === null || release === undefined) return null
      return { releaseId: resolved.releaseId, version: release.data.version, by: resolved.by }
    }
    return {
      group: group === undefined ? null : { id: group.id, name: group.data.name },
      app: await half('app'),
      host: await half('host'),
    }
  }

  return {
    desiredFor,
    resolve,
    /** The rollouts whose terms are no longer what devices were told. */
    changedTerms(): Set<string> {
      const changed = new Set<string>()
      for (const [rolloutId, told] of toldTerms) {
        if (textOf(rollouts.rolloutOf(rolloutId) ?? plainTerms) === told) continue
        changed.add(rolloutId)
        toldTerms.delete(rolloutId)
      }
      return changed
    },
  }
}

const textOf = ({ window, soakSeconds, force, held }: RolloutTerms): string =>
  JSON.stringify([window, soakSeconds, force, held])

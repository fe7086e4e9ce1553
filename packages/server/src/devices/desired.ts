import type { Assignment, Device, DeviceDesiredState, SignedAssignment } from '@freehold/contracts'
import type { Affected, ReleasesOfDevices } from '../releases/index.ts'
import { assignmentLifeMs, type DesiredContent, desiredContentOf, nextCounter } from './kind.ts'
import type { Known } from './known.ts'
import type { Live } from './live.ts'

/**
 * Computes what devices shall be, and signs it for those that do not hold it. Whoever is reconsidered is computed again
 * with its next heartbeat, so that a change for a whole fleet costs memory now and two reads a device later.
 */
export function createDesiredKeeper(options: {
  releases: Pick<ReleasesOfDevices, 'desiredFor'>
  sign: (assignment: Assignment) => Promise<SignedAssignment>
  now: () => number
  /** Something could not be signed; the device keeps what it has and asks again. */
  onProblem: (error: unknown) => void
}) {
  const { releases, sign, now, onProblem } = options
  /** Counts what was reconsidered: what was computed meanwhile may be of before. */
  let reconsidered = 0

  async function contentOf(device: Device): Promise<{ content: DesiredContent; known: Known }> {
    const before = reconsidered
    const { app, host, basis } = await releases.desiredFor(device)
    const content = desiredContentOf(device, { app, host, now: now() })
    const changesAtMs = before === reconsidered ? content.changesAtMs : 0
    return { content, known: { generation: content.generation, changesAtMs, basis } }
  }

  async function signedFor(
    live: Live,
    { assigned }: Pick<DesiredContent, 'assigned'>,
    reported: number | null,
  ): Promise<SignedAssignment | null> {
    if (assigned === null) return null
    const issuedMs = now()
    live.counter = nextCounter({ now: issuedMs, last: live.counter, reported })
    return sign({
      _type: 'assignment',
      nodeId: live.nodeId,
      counter: live.counter,
      issuedAt: new Date(issuedMs).toISOString(),
      expiresAt: new Date(issuedMs + assignmentLifeMs).toISOString(),
      ...assigned,
    })
  }

  return {
    compute: async (device: Device): Promise<Known> => (await contentOf(device)).known,

    /** What a device is told that holds the state of the generation `held` and last verified the counter `reported`. */
    async tell(
      live: Live,
      device: Device,
      { held, reported }: { held: number; reported: number | null },
    ): Promise<{ generation: number; state?: DeviceDesiredState }> {
      const { content, known } = await contentOf(device)
      live.know(known)
      const { generation, name, labels } = content
      if (generation === held) return { generation }
      try {
        const assignment = await signedFor(live, content, reported)
        return { generation, state: { generation, name, labels, assignment } }
      } catch (error) {
        onProblem(error)
        return { generation }
      }
    },

    /** Those devices are computed again with their next heartbeat. */
    reconsider(affected: Affected, presence: { get(id: string): Live | undefined; all(): Iterable<Live> }): void {
      reconsidered += 1
      if (typeof affected === 'function') {
        for (const live of presence.all()) if (affected(live.basis)) live.changesAtMs = 0
        return
      }
      if (affected === 'all') for (const live of presence.all()) live.changesAtMs = 0
      else for (const id of affected) forget(presence.get(id))
    },
  }
}
export type DesiredKeeper = ReturnType<typeof createDesiredKeeper>

function forget(live: Live | undefined): void {
  if (live !== undefined) live.changesAtMs = 0
}

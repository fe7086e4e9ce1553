import type { DeviceStatus } from '@freehold/contracts'
import { sentenceOf } from '../log.ts'
import { type SupervisorApps, type SupervisorClient, type SupervisorDevice, SupervisorError } from './client.ts'

/** The Supervisor's part of a status. */
export interface SupervisorPicture {
  supervisor: NonNullable<DeviceStatus['supervisor']>
  device: SupervisorDevice | null
  apps: SupervisorApps | null
}

export interface SupervisorReader {
  /** Never throws: what cannot be read is null, and `supervisor` says why. */
  read(signal?: AbortSignal): Promise<SupervisorPicture>
}

/** Its version changes with a new Supervisor only, which is asked for again now and then. */
const versionGoodForMs = 60 * 60_000

/** `client` null: none is configured. */
export function createSupervisorReader(options: {
  client: SupervisorClient | null
  monotonicMs: () => number
}): SupervisorReader {
  const { client, monotonicMs } = options
  let known: { version: string | null; atMs: number } | undefined

  const versionOf = async (from: SupervisorClient, signal?: AbortSignal): Promise<string | null> => {
    if (known && monotonicMs() - known.atMs < versionGoodForMs) return known.version
    known = { version: await from.version(signal), atMs: monotonicMs() }
    return known.version
  }

  return {
    read: async (signal) => {
      if (!client) {
        const problem = null
        return { supervisor: { state: 'not-configured', version: null, problem }, device: null, apps: null }
      }
      // Two calls each time: what a container does shows in `apps` alone, and whether an update is held up in `device` alone.
      const asked = [client.device(signal), client.apps(signal), versionOf(client, signal)] as const
      const [device, apps, version] = await Promise.allSettled(asked)
      if ([device, apps].every(isUnanswered) && !(await client.ping(signal))) {
        known = undefined
        const problem = 'The Supervisor does not answer /ping.'
        return { supervisor: { state: 'unavailable', version: null, problem }, device: null, apps: null }
      }
      const refusals = [device, apps, version].flatMap((result) =>
        result.status === 'rejected' ? [result.reason] : [],
      )
      return {
        supervisor: {
          state: stateOf(refusals),
          version: version.status === 'fulfilled' ? version.value : null,
          problem: refusals.length > 0 ? sentenceOf(refusals[0]).slice(0, 500) : null,
        },
        device: device.status === 'fulfilled' ? device.value : null,
        apps: apps.status === 'fulfilled' ? apps.value : null,
      }
    },
  }
}

function isUnanswered(result: PromiseSettledResult<unknown>): boolean {
  return (
    result.status === 'rejected' && result.reason instanceof SupervisorError && result.reason.reason === 'unavailable'
  )
}

/** A slow engine answers some addresses only; that is available, with a problem. */
function stateOf(refusals: unknown[]): string {
  const reasons = refusals.map((refusal) => (refusal instanceof SupervisorError ? refusal.reason : 'failed'))
  if (reasons.includes('unauthorized')) return 'unauthorized'
  return reasons.length === 3 ? 'unavailable' : 'available'
}

import { type SupervisorClient, SupervisorError } from '../supervisor/client.ts'
import type { Updater } from '../supervisor/updater.ts'
import type { Action, ActionRecord } from './actions.ts'

/** Carries out an action through the Supervisor; what an update comes to stands in the report of updates. */
export function createActions(options: {
  client: SupervisorClient | null
  updater: Updater | undefined
}): (action: Action, signal: AbortSignal) => Promise<Pick<ActionRecord, 'outcome' | 'message'>> {
  const { client, updater } = options
  return async ({ kind, force }, signal) => {
    if (!client || !updater) return { outcome: 'failed', message: 'No Supervisor is configured on this device.' }
    try {
      if (kind === 'reboot') {
        await client.reboot({ force, signal })
        return { outcome: 'done', message: 'The device goes down.' }
      }
      const { outcome, message } = await updater.request({ force, requestedBy: 'control-plane' })
      return {
        outcome: outcome === 'locked' || outcome === 'ignored' || outcome === 'failed' ? outcome : 'done',
        message: message ?? '',
      }
    } catch (error) {
      if (!(error instanceof SupervisorError)) throw error
      return { outcome: error.reason === 'locked' ? 'locked' : 'failed', message: error.message }
    }
  }
}

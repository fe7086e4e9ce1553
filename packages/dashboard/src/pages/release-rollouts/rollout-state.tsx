import type { ReleaseRollout } from '@freehold/contracts'
import { State } from '../../components/state.tsx'

/** Of a rollout, running is no success yet, and stopped needs a person. */
export function RolloutState({ status }: Pick<ReleaseRollout, 'status'>) {
  const { state, message } = status
  if (state === 'running') return <State state="deploying" label="Running" title={message} />
  if (state === 'stopped') return <State state="failed" label="Stopped" title={message} />
  return <State state={state} title={message} />
}

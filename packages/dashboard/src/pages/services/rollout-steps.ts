import type { Rollout } from '@freehold/contracts'

export interface Step {
  label: string
  state: 'done' | 'now' | 'failed' | 'next'
}

const forward = ['starting', 'settling', 'retiring'] as const
const labels = { starting: 'Start and check', settling: 'Stay healthy', retiring: 'Retire the old' }

/** A rollout as the few steps people follow; one that failed as what became of it and the way back. */
export function stepsOf({ status }: Pick<Rollout, 'status'>): Step[] {
  const { phase, failure, previousServes } = status
  const at = forward.indexOf(phase)
  if (phase === 'superseded' || failure?.outcome === 'superseded') {
    return [{ label: 'Replaced by a newer rollout', state: 'next' }]
  }
  if (phase === 'succeeded' || at >= 0) {
    return forward.map((name, index) => ({
      label: labels[name],
      state: phase === 'succeeded' || index < at ? 'done' : index === at ? 'now' : 'next',
    }))
  }
  const isAborted = phase === 'aborted' || failure?.outcome === 'aborted'
  return [
    { label: isAborted ? 'Aborted' : 'Failed', state: 'failed' },
    { label: 'Go back', state: phase === 'reverting' ? 'now' : previousServes === true ? 'done' : 'failed' },
  ]
}

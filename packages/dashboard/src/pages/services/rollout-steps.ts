import type { Rollout, RolloutPhase } from '@freehold/contracts'

export interface Step {
  label: string
  state: 'done' | 'now' | 'failed' | 'next'
}

const forward: readonly { phase: RolloutPhase; label: string }[] = [
  { phase: 'starting', label: 'Start and check' },
  { phase: 'settling', label: 'Stay healthy' },
  { phase: 'retiring', label: 'Retire the old' },
]

/** A rollout as the few steps people follow; one that failed as what became of it and the way back. */
export function stepsOf({ status }: Pick<Rollout, 'status'>): Step[] {
  const { phase, failure, previousServes } = status
  if (phase === 'verifying') {
    return [
      { label: 'Verify the signature', state: 'now' },
      ...forward.map(({ label }): Step => ({ label, state: 'next' })),
    ]
  }
  if (failure?.refused === true) return [{ label: 'Refused', state: 'failed' }]
  const at = forward.findIndex((step) => step.phase === phase)
  if (phase === 'superseded' || failure?.outcome === 'superseded') {
    return [{ label: 'Replaced by a newer rollout', state: 'next' }]
  }
  if (phase === 'succeeded' || at >= 0) {
    return forward.map(({ label }, index) => {
      if (phase === 'succeeded' || index < at) return { label, state: 'done' }
      return { label, state: index === at ? 'now' : 'next' }
    })
  }
  const isAborted = phase === 'aborted' || failure?.outcome === 'aborted'
  return [
    { label: isAborted ? 'Aborted' : 'Failed', state: 'failed' },
    { label: 'Go back', state: phase === 'reverting' ? 'now' : previousServes === true ? 'done' : 'failed' },
  ]
}

import type { releaseRolloutInput } from '@freehold/contracts'
import type { z } from 'zod'

export type RolloutInput = z.input<typeof releaseRolloutInput>
type PhaseInput = NonNullable<RolloutInput['phases']>[number]
export type Day = NonNullable<NonNullable<RolloutInput['window']>['days']>[number]
export const days: readonly Day[] = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun']

/** A phase as texts, while it is being typed; the key keeps its fields in place. */
export interface PhaseDraft {
  key: number
  /** `rest`: all that are left. */
  by: 'percent' | 'count' | 'rest'
  amount: string
  /** Empty: devices of any group. */
  groupId: string
  successPercent: string
  errorPercent: string
  soakMinutes: string
  approval: boolean
}

export interface RolloutDraft {
  channelId: string
  releaseId: string
  phases: PhaseDraft[]
  hasWindow: boolean
  days: Day[]
  from: string
  to: string
  soakSeconds: string
  force: boolean
}

export function phaseDraft(key: number, part: Partial<PhaseDraft> = {}): PhaseDraft {
  return {
    key,
    by: 'rest',
    amount: '',
    groupId: '',
    successPercent: '90',
    errorPercent: '5',
    soakMinutes: '0',
    approval: false,
    ...part,
  }
}

/** A few devices first: who changes nothing here risks a twentieth of the fleet. */
export function firstDraft(from: { channelId: string; releaseId: string }): RolloutDraft {
  return {
    ...from,
    phases: [
      phaseDraft(0, { by: 'percent', amount: '5' }),
      phaseDraft(1, { by: 'percent', amount: '25' }),
      phaseDraft(2),
    ],
    hasWindow: false,
    days: [...days],
    from: '22:00',
    to: '05:00',
    soakSeconds: '60',
    force: false,
  }
}

export function rolloutInputOf(draft: RolloutDraft): RolloutInput {
  const { channelId, releaseId, force } = draft
  return {
    channelId,
    releaseId,
    phases: draft.phases.map(phaseOf),
    window: draft.hasWindow
      ? { days: days.filter((day) => draft.days.includes(day)), from: draft.from, to: draft.to }
      : null,
    soakSeconds: Number(draft.soakSeconds),
    force,
  }
}

function phaseOf(draft: PhaseDraft): PhaseInput {
  const { by, amount, groupId, approval } = draft
  return {
    ...(by === 'percent' ? { percent: numberOf(amount) } : by === 'count' ? { count: numberOf(amount) } : {}),
    ...(groupId === '' ? {} : { groupId }),
    successPercent: numberOf(draft.successPercent),
    errorPercent: numberOf(draft.errorPercent),
    soakMinutes: numberOf(draft.soakMinutes),
    approval,
  }
}

/** An empty field is no zero: the server says what is wrong with it. */
function numberOf(text: string): number {
  return text.trim() === '' ? Number.NaN : Number(text)
}

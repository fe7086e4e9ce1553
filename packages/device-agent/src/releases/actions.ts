import type { Assignment, DeviceStatus } from '@freehold/contracts'
import { type Half, isBegun } from './half.ts'
import type { Halves } from './plan.ts'

export type Action = Assignment['actions'][number]

/** What came of an action; in the state file. `begun` is stored before it is carried out, so it never is twice. */
export interface ActionRecord {
  id: string
  kind: Action['kind']
  outcome: 'begun' | 'done' | 'failed' | 'locked' | 'ignored' | 'expired'
  message: string
  /** Of the kernel that ran when it was begun: another one means that the device was started anew. */
  kernelBootId: string | null
}

const mostRecords = 16

/** The next action to carry out or to give up; null: none now. Never in the middle of applying or leaving a release. */
export function nextAction(options: {
  assignment: Assignment | null
  records: readonly ActionRecord[]
  halves: Halves
  believedMs: number | null
}): { kind: 'begin' | 'expire'; action: Action } | null {
  const { assignment, records, halves, believedMs } = options
  if (!assignment || believedMs === null) return null
  const action = assignment.actions.find(({ id }) => !records.some((record) => record.id === id))
  if (!action) return null
  if (Date.parse(action.expiresAt) <= believedMs) return { kind: 'expire', action }
  if (Date.parse(assignment.expiresAt) <= believedMs) return null
  const isInTheWay = (half: Half | null) => isBegun(half) && half.phase !== 'soaking'
  return isInTheWay(halves.app) || isInTheWay(halves.host) ? null : { kind: 'begin', action }
}

/** With one more record, or another outcome of the same. The oldest go, but never one that is still asked for. */
export function withRecord(
  records: readonly ActionRecord[],
  record: ActionRecord,
  assignment: Assignment | null,
): ActionRecord[] {
  const next = [...records.filter(({ id }) => id !== record.id), record]
  const wanted = new Set([record.id, ...(assignment?.actions ?? []).map(({ id }) => id)])
  for (const { id } of [...next]) {
    if (next.length <= mostRecords) break
    if (!wanted.has(id))
      next.splice(
        next.findIndex((other) => other.id === id),
        1,
      )
  }
  return next
}

/** After a restart of the agent: what had been begun is never begun again, so it is judged by what is seen now. */
export function afterRestart(records: readonly ActionRecord[], kernelBootId: string | null): ActionRecord[] {
  return records.map((record) => {
    if (record.outcome !== 'begun') return record
    if (record.kind === 'update') return { ...record, outcome: 'done', message: 'The agent was restarted meanwhile.' }
    const isAnew = record.kernelBootId !== null && kernelBootId !== null && record.kernelBootId !== kernelBootId
    if (isAnew) return { ...record, outcome: 'done', message: 'The device was started anew.' }
    return { ...record, outcome: 'failed', message: 'The agent was restarted, and the device was not. Ask again.' }
  })
}

export function actionsStatus(records: readonly ActionRecord[]): DeviceStatus['actions'] {
  return records
    .slice(-mostRecords)
    .map(({ id, outcome, message }) => ({ id, outcome, message: message.slice(0, 500) }))
}

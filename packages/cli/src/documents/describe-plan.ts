import type { planChangeSchema, planSchema } from '@freehold/contracts'
import type { z } from 'zod'
import type { Output } from '../output/output.ts'
import { plain, truncate } from '../output/text.ts'

export type Plan = z.output<typeof planSchema>
export type PlanChange = z.output<typeof planChangeSchema>

const signs = { create: '+', update: '~', delete: '-' } as const
const colors = { create: 'green', update: 'yellow', delete: 'red' } as const
const longestValue = 120

/** A plan as lines for people: what would change here, then what each cluster's agent would do about it. */
export function describePlan(plan: Plan, style: Output['style']): string[] {
  const lines = plan.changes.flatMap((change) => describeChange(change, style))
  for (const { cluster, steps, problem } of plan.clusters) {
    if (problem !== null) lines.push(`cluster ${plain(cluster)}: not known: ${plain(problem)}`)
    else if (steps.length > 0)
      lines.push(`cluster ${plain(cluster)} would then:`, ...steps.map((step) => `    ${plain(step)}`))
  }
  lines.push(summary(plan.changes))
  return lines
}

/** `Plan: 1 to create, 2 to update, 0 to delete.` */
export function summary(changes: readonly PlanChange[]): string {
  if (changes.length === 0) return 'No changes: the control plane is as the documents say.'
  const count = (action: PlanChange['action']) => changes.filter((change) => change.action === action).length
  return `Plan: ${count('create')} to create, ${count('update')} to update, ${count('delete')} to delete.`
}

function describeChange(change: PlanChange, style: Output['style']): string[] {
  const color = colors[change.action]
  const head = style(color, `${signs[change.action]} ${change.kind} ${plain(change.name)}`)
  const fields = change.fields.map(({ path, from, to }) => `    ${plain(path)}: ${fieldChange(from, to)}`)
  return [head, ...fields]
}

function fieldChange(from: unknown, to: unknown): string {
  if (from === undefined) return valueText(to)
  return `${valueText(from)} → ${valueText(to)}`
}

function valueText(value: unknown): string {
  if (value === undefined || value === null) return 'none'
  return truncate(plain(JSON.stringify(value)), longestValue)
}

import type { ChangeEntry } from '@freehold/contracts'

const verbs = { create: 'created', update: 'changed', status: 'observed', delete: 'deleted' }

/** What was done, as the middle of a sentence. */
export function describeChange(entry: Pick<ChangeEntry, 'operation'>): string {
  return verbs[entry.operation]
}

/** What to call the resource of an entry: its name if it has one, else the end of its id. */
export function nameOf(entry: Pick<ChangeEntry, 'id' | 'after' | 'before'>): string {
  for (const resource of [entry.after, entry.before]) {
    const data = (resource as { data?: { name?: unknown; number?: unknown } } | null | undefined)?.data
    if (typeof data?.name === 'string') return data.name
    if (typeof data?.number === 'number') return String(data.number)
  }
  return `…${entry.id.slice(-8)}`
}

import type { z } from 'zod'
import { parsePart, refuseFaults } from './parse.ts'
import { mergePatch } from './resources.ts'

/** Stored data after a merge patch, checked whole. Throws `invalid-input` naming every fault under `data.`. */
export function mergedData<S extends z.ZodType>(schema: S, stored: z.output<S>, patch: unknown): z.output<S> {
  if (patch === undefined) return stored
  const parsed = parsePart(schema, mergePatch(stored, patch), 'data')
  if (!('value' in parsed)) {
    refuseFaults(parsed.faults)
    return stored
  }
  return parsed.value
}

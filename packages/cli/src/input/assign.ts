import { parse } from 'yaml'
import { z } from 'zod'
import { CliError, exitCodes } from '../exit-codes.ts'
import { schemaAt, unwrap } from '../schema.ts'

export type Data = Record<string, unknown>

/** One `--set`: where, and the text of what. */
export interface Assignment {
  path: string[]
  text: string
}

/** Reads `ports.web=8080`; a leading `data.` may be written or left out. */
export function parseAssignment(text: string): Assignment {
  const at = text.indexOf('=')
  if (at < 1)
    throw new CliError(exitCodes.usage, `"${text}" is not written path=value.`, 'For example --set scaleFactor=3.')
  return { path: parsePath(text.slice(0, at)), text: text.slice(at + 1) }
}

/** Reads a dotted path. */
export function parsePath(text: string): string[] {
  const path = text.split('.')
  if (path.length > 1 && path[0] === 'data') path.shift()
  if (path.some((part) => part === '' || part === '__proto__')) {
    throw new CliError(exitCodes.usage, `"${text}" is no path.`, 'Write names joined by dots, such as ports.web.')
  }
  return path
}

/** The value a text means where this schema is expected: a string stays one, all else is read as YAML. */
export function readValue(text: string, schema: z.ZodType | undefined): unknown {
  const inner = schema === undefined ? undefined : unwrap(schema)
  if (inner instanceof z.ZodEnum || inner instanceof z.ZodLiteral || inner?.def.type === 'string') return text
  try {
    return parse(text)
  } catch {
    return text
  }
}

/**
 * Writes assignments into `data`. Entering a list that `data` does not hold yet starts from the one in `base` (what
 * is stored), because a merge patch can only replace lists whole.
 */
export function assignAll(
  data: Data,
  input: { assignments: Assignment[]; schema: z.ZodType; base: Data | undefined },
): Data {
  let result: unknown = data
  for (const { path, text } of input.assignments) {
    result = assign({ target: result, path, value: readValue(text, schemaAt(input.schema, path)), base: input.base })
  }
  return result as Data
}

/** A copy of `target` with `value` at `path`. */
export function assign(input: { target: unknown; path: readonly string[]; value: unknown; base: unknown }): unknown {
  const [name, ...rest] = input.path
  if (name === undefined) return input.value
  const stored = child(input.base, name)
  if (Array.isArray(input.target) || (input.target === undefined && Array.isArray(input.base))) {
    const list: unknown[] = [...((input.target ?? input.base) as unknown[])]
    const index = Number(name)
    if (!Number.isInteger(index) || index < 0 || index > list.length) {
      throw new CliError(
        exitCodes.usage,
        `The list has ${list.length} entries; "${name}" is neither one of them nor the next.`,
      )
    }
    list[index] = assign({ target: list[index], path: rest, value: input.value, base: stored })
    return list
  }
  const object = isObject(input.target) ? input.target : {}
  return { ...object, [name]: assign({ target: child(object, name), path: rest, value: input.value, base: stored }) }
}

/** Merges objects deeply; the later one wins, lists are replaced whole. */
export function mergeData(first: Data, second: Data): Data {
  const result: Data = { ...first }
  for (const [name, value] of Object.entries(second)) {
    const existing = Object.hasOwn(result, name) ? result[name] : undefined
    result[name] = isObject(existing) && isObject(value) ? mergeData(existing, value) : value
  }
  return result
}

export function isObject(value: unknown): value is Data {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function child(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
  return (value as Data)[name]
}

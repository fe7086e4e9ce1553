import { type ErrorDetail, FreeholdError } from '@freehold/contracts'
import { z } from 'zod'

const maxDetails = 50
type Issue = z.core.$ZodIssue

/** Parses one part of a request; its faults, all of them, with dotted paths. */
export function parsePart<S extends z.ZodType>(
  schema: S,
  value: unknown,
  prefix: string,
): { value: z.output<S>; faults: ErrorDetail[] } | { faults: ErrorDetail[] } {
  try {
    const result = schema.safeParse(value)
    return result.success ? { value: result.data, faults: [] } : { faults: faultsOf(result.error.issues, prefix) }
  } catch (error) {
    if (error instanceof RangeError) return { faults: [{ path: prefix, message: 'nested too deeply' }] }
    throw error
  }
}

/** Throws `invalid-input` naming every fault. */
export function refuseFaults(faults: ErrorDetail[]): void {
  const [first] = faults
  if (first === undefined) return
  const more = faults.length === 1 ? '' : ` (and ${faults.length - 1} more)`
  const where = first.path === '' ? 'The request' : first.path
  throw new FreeholdError('invalid-input', `${where}: ${first.message}${more}.`, {
    details: faults.slice(0, maxDetails),
  })
}

/** Query parameters as an object; one that is repeated becomes a list, which no schema takes. */
export function queryObject(search: URLSearchParams): Record<string, unknown> | undefined {
  if (search.size === 0) return undefined
  const query: Record<string, unknown> = Object.create(null)
  for (const name of new Set(search.keys())) {
    const values = search.getAll(name)
    if (values.some((value) => value.includes('\0'))) {
      throw new FreeholdError('invalid-input', 'A text of the address holds a NUL character.')
    }
    query[name] = values.length === 1 ? values[0] : values
  }
  return { ...query }
}

/** True for the schema of "there is none". */
export function isNothing(schema: z.ZodType): boolean {
  return schema instanceof z.ZodUndefined
}

function faultsOf(issues: readonly Issue[], prefix: string): ErrorDetail[] {
  return issues.flatMap((issue) => {
    const path = [prefix, ...issue.path.map(String)].filter((part) => part !== '').join('.')
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => ({ path: path === '' ? key : `${path}.${key}`, message: 'not a known field' }))
    }
    if (issue.code === 'invalid_key') {
      return issue.issues.map(({ message }) => ({ path, message: `the name must be: ${message}` }))
    }
    if (issue.code === 'invalid_union') return unionFaults(issue, path)
    return [{ path, message: sentenceOf(issue) }]
  })
}

/** The library's words for a field that is not there speak of programs; those of our own schemas stay. */
function sentenceOf({ code, message }: Issue): string {
  return code === 'invalid_type' && /^Invalid input: .*received undefined$/.test(message)
    ? 'is missing'
    : lowerFirst(message)
}

/** Of a union, the branch that came nearest says the most. */
function unionFaults(issue: Extract<Issue, { code: 'invalid_union' }>, path: string): ErrorDetail[] {
  const branches = issue.errors.filter((branch) => branch.length > 0).toSorted((a, b) => a.length - b.length)
  const [nearest] = branches
  return nearest === undefined ? [{ path, message: lowerFirst(issue.message) }] : faultsOf(nearest, path)
}

function lowerFirst(message: string): string {
  return message.charAt(0).toLowerCase() + message.slice(1)
}

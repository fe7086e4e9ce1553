type Json = Record<string, unknown>

/**
 * The JSON merge patch (RFC 7396) that turns `before` into `after`: only what differs, null for what is gone.
 * Undefined when nothing differs. Arrays are replaced whole.
 */
export function mergeDiff(before: unknown, after: unknown): unknown {
  if (!isObject(before) || !isObject(after)) return isEqual(before, after) ? undefined : after
  const patch: Json = {}
  for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
    if (after[name] === undefined) {
      if (before[name] !== undefined) patch[name] = null
      continue
    }
    const part = before[name] === undefined ? after[name] : mergeDiff(before[name], after[name])
    if (part !== undefined) patch[name] = part
  }
  return Object.keys(patch).length === 0 ? undefined : patch
}

export interface FieldChange {
  path: string
  from: unknown
  to: unknown
}

/** The fields in which two values differ, by dotted path; arrays are compared whole. */
export function changedFields(before: unknown, after: unknown, path = ''): FieldChange[] {
  if (isObject(before) && isObject(after)) {
    return [...new Set([...Object.keys(before), ...Object.keys(after)])].flatMap((name) =>
      changedFields(before[name], after[name], path === '' ? name : `${path}.${name}`),
    )
  }
  return isEqual(before, after) ? [] : [{ path, from: before, to: after }]
}

function isEqual(a: unknown, b: unknown): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b)
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

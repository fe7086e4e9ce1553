/** Reading what others sent: a value of a wrong type is null, text is cut to its bound, and nothing throws. */
export type Fields = Record<string, unknown>

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function fieldsOf(value: unknown): Fields {
  return isFields(value) ? value : {}
}

/** `characters`: what is longer is cut, whole characters only; control characters become spaces. */
export function textOf(value: unknown, characters: number): string | null {
  if (typeof value !== 'string') return null
  return value
    .slice(0, characters)
    .toWellFormed()
    .replace(/\p{Cc}/gu, ' ')
}

export function numberOf(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null
}

export function flagOf(value: unknown): boolean | null {
  return typeof value === 'boolean' ? value : null
}

/** The first `items` entries. */
export function listOf<Item>(value: unknown, items: number, read: (item: unknown) => Item): Item[] {
  return Array.isArray(value) ? value.slice(0, items).map(read) : []
}

/** Undefined where it is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

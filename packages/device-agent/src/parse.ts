/** Reading what others sent: a value of a wrong type is null, text is cut to its bound, and nothing throws. */
export type Fields = Record<string, unknown>

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function fieldsOf(value: unknown): Fields {
  return isFields(value) ? value : {}
}

/** `characters`: what is longer is cut; control characters become spaces, lone surrogates a replacement mark. */
export function textOf(value: unknown, characters: number): string | null {
  if (typeof value !== 'string') return null
  let text = ''
  // No regular expression of Unicode properties: it would load Node's tables of all languages, 8 MB.
  for (const character of value.slice(0, characters)) text += isControl(character.charCodeAt(0)) ? ' ' : character
  return text.toWellFormed()
}

/** C0, delete and C1 (ISO/IEC 6429). */
function isControl(code: number): boolean {
  return code < 0x20 || (code >= 0x7f && code < 0xa0)
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

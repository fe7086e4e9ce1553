/**
 * Canonical JSON as signatures of The Update Framework are made over (OLPC's dialect, as securesystemslib writes it):
 * keys in order of code points, no white space, in texts only `\` and `"` are escaped, numbers are whole. Throws a
 * `TypeError` for what it cannot say: fractions, whole numbers beyond 2^53, `undefined`, lone surrogates.
 */
export function canonicalSignedJson(value: unknown): string {
  if (value === null || typeof value === 'boolean') return String(value)
  if (typeof value === 'string') return quoted(value)
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value)) throw new TypeError(`${value} has no canonical JSON: only whole numbers have.`)
    return String(value === 0 ? 0 : value)
  }
  if (Array.isArray(value)) return `[${Array.from(value, canonicalSignedJson).join(',')}]`
  if (typeof value !== 'object') throw new TypeError(`A value of type ${typeof value} has no canonical JSON.`)
  const fields = Object.entries(value)
    .toSorted(([a], [b]) => compareCodePoints(a, b))
    .map(([key, field]) => `${quoted(key)}:${canonicalSignedJson(field)}`)
  return `{${fields.join(',')}}`
}

function quoted(text: string): string {
  if (!text.isWellFormed()) throw new TypeError('A text with half a character has no canonical JSON.')
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`
}

/** Order of UTF-8 bytes. JavaScript's own is that of UTF-16 units, which differs beyond U+FFFF. */
function compareCodePoints(a: string, b: string): number {
  const end = Math.min(a.length, b.length)
  let index = 0
  while (index < end && a.charCodeAt(index) === b.charCodeAt(index)) index += 1
  return index === end ? a.length - b.length : rankOf(a.charCodeAt(index)) - rankOf(b.charCodeAt(index))
}

/** Halves of characters beyond U+FFFF come after all others. */
function rankOf(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit
}

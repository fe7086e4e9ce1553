/**
 * Canonical JSON (The Update Framework 1.0.34 §4.1): sorted keys, no spaces, whole numbers only, and in text only quotes
 * and backslashes escaped. One value has one text, so a signature over it means one thing. Throws TypeError for what it
 * cannot say, such as a fraction.
 */
export function canonicalJson(value: unknown): string {
  if (typeof value === 'string') return quoted(value)
  if (value === null || typeof value === 'boolean' || Number.isInteger(value)) return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  if (typeof value === 'object') {
    const fields = Object.entries(value).toSorted(([one], [other]) => (one < other ? -1 : 1))
    return `{${fields.map(([name, field]) => `${quoted(name)}:${canonicalJson(field)}`).join(',')}}`
  }
  throw new TypeError(`Canonical JSON cannot say ${typeof value === 'number' ? 'a fraction' : `a ${typeof value}`}.`)
}

function quoted(text: string): string {
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`
}

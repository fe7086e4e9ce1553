/**
 * JSON with the keys of every object in code-unit order and no white space, otherwise as `JSON.stringify` has it
 * (`undefined` fields left out, `toJSON` honoured). Equal values give equal text, so the store compares and hashes text.
 */
export function canonicalJson(value: unknown): string {
  return write(value) ?? 'null'
}

function write(value: unknown): string | undefined {
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  if ('toJSON' in value && typeof value.toJSON === 'function') return write(value.toJSON(''))
  if (Array.isArray(value)) return writeArray(value)
  if (value instanceof String || value instanceof Number || value instanceof Boolean) return JSON.stringify(value)
  return writeObject(value as Record<string, unknown>)
}

function writeArray(values: readonly unknown[]): string {
  let text = '['
  for (let index = 0; index < values.length; index++) {
    if (index > 0) text += ','
    text += write(values[index]) ?? 'null'
  }
  return `${text}]`
}

function writeObject(object: Record<string, unknown>): string {
  let text = ''
  for (const key of Object.keys(object).sort()) {
    const field = write(object[key])
    if (field === undefined) continue
    text += text === '' ? '{' : ','
    text += `${JSON.stringify(key)}:${field}`
  }
  return text === '' ? '{}' : `${text}}`
}

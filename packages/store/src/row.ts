import { hash } from 'node:crypto'
import type { Resource } from '@freehold/contracts'
import { canonicalJson } from './canonical.ts'
import type { AnyKind } from './store.ts'

/** A resource as both engines keep it: `data`, `status` and `labels` are canonical JSON text. */
export interface Row {
  kind: string
  id: string
  version: number
  generation: number
  /** What `search` looks at, lower case. */
  name: string
  createdAt: string
  updatedAt: string
  labels: string
  status: string
  data: string
}

/** Kinds with their types wiped, as the store handles them inside. */
type Content = Pick<Resource, 'id' | 'data' | 'status' | 'labels'>

/** The keys a resource is found by. `entries` may be shared, `unique` keys have one holder. */
export interface Keys {
  unique: Key[]
  entries: Key[]
}
export interface Key {
  name: string
  key: string
}

export function resourceOf(row: Row): Resource {
  return {
    kind: row.kind,
    id: row.id,
    data: JSON.parse(row.data),
    status: JSON.parse(row.status),
    generation: row.generation,
    version: row.version,
    labels: JSON.parse(row.labels),
    createdAt: row.createdAt,
    updatedAt: row.updatedAt,
  }
}

/** The resource as canonical JSON, put together from the texts of the row; redacted fields are left out. */
export function resourceText(kind: AnyKind, row: Row): string {
  const data = kind.redact.length === 0 ? row.data : redacted(row.data, kind.redact)
  return (
    `{"createdAt":"${row.createdAt}","data":${data},"generation":${row.generation},"id":${JSON.stringify(row.id)},` +
    `"kind":${JSON.stringify(row.kind)},"labels":${row.labels},"status":${row.status},` +
    `"updatedAt":"${row.updatedAt}","version":${row.version}}`
  )
}

function redacted(dataText: string, fields: readonly string[]): string {
  const data: unknown = JSON.parse(dataText)
  if (data === null || typeof data !== 'object') return dataText
  return canonicalJson(Object.fromEntries(Object.entries(data).filter(([name]) => !fields.includes(name))))
}

/** Computes every key of a resource from its kind's functions and its labels. */
export function keysOf(kind: AnyKind, content: Content): Keys {
  return {
    unique: declaredKeys(kind.unique, '', content),
    entries: [
      ...declaredKeys(kind.indexes, 'index:', content),
      ...Object.entries(content.labels).map(([key, value]) => ({ name: labelEntry(key), key: keyText(value) })),
    ],
  }
}

function declaredKeys(functions: AnyKind['indexes'], prefix: string, content: Content): Key[] {
  const keys: Key[] = []
  for (const name in functions) {
    const key = functions[name]?.(content as never)
    if (key !== undefined) keys.push({ name: prefix + name, key: keyText(key) })
  }
  return keys
}

/** The name under which a label is kept beside the indexes. */
export function labelEntry(key: string): string {
  return `label:${keyText(key)}`
}

/** The text a key is kept as. Keys an engine could not hold exactly (long, NUL, half a surrogate pair) become their hash. */
export function keyText(key: string): string {
  const plain = key.length <= 512 && !key.startsWith('#') && !key.includes('\0') && key.isWellFormed()
  return plain ? key : `#${hash('sha256', Buffer.from(key, 'utf16le'), 'hex')}`
}

/** What `search` compares with: `data.name`, else the id; lower case and free of what an engine could not hold. */
export function searchName(data: unknown, id: string): string {
  const name = typeof data === 'object' && data !== null && 'name' in data ? data.name : undefined
  return searchText(typeof name === 'string' ? name : id)
}

export function searchText(text: string): string {
  return text.toLowerCase().toWellFormed().replaceAll('\0', '\ufffd')
}

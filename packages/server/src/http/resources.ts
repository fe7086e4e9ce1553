import { FreeholdError } from '@freehold/contracts'
import type { AnyKind, Page, Reads, Stored } from '@freehold/store'

/** A resource as the API shows it: without the fields its kind redacts. */
export function present<K extends AnyKind>(kind: K, resource: Stored<K>): Stored<K> {
  if (kind.redact.length === 0) return resource
  const data = Object.fromEntries(
    Object.entries(resource.data as object).filter(([name]) => !kind.redact.includes(name)),
  )
  return { ...resource, data: data as Stored<K>['data'] }
}

/** Gets a resource or says `not-found`, naming kind and id. */
export async function getResource<K extends AnyKind>(reads: Reads, kind: K, id: string): Promise<Stored<K>> {
  const resource = await reads.get(kind, id)
  if (resource === undefined) throw new FreeholdError('not-found', `There is no ${kind.name} with the id ${id}.`)
  return resource
}

interface PageQuery {
  limit: number
  cursor?: string | undefined
  label?: string | undefined
  search?: string | undefined
  order?: 'created' | 'changed' | undefined
}

/** A page as the list routes answer it; whatever is left of the query are index filters. */
export async function listResources<K extends AnyKind>(
  reads: Reads,
  kind: K,
  query: PageQuery & Record<string, unknown>,
): Promise<Page<K>> {
  const { limit, cursor, label, search, order, ...filters } = query
  const where = Object.fromEntries(
    Object.entries(filters).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  )
  const page = await reads.list(kind, {
    limit,
    where,
    ...(cursor === undefined ? {} : { cursor }),
    ...(search === undefined ? {} : { search }),
    ...(order === undefined ? {} : { order }),
    ...(label === undefined ? {} : { label: parseLabel(label) }),
  })
  return { ...page, items: page.items.map((resource) => present(kind, resource)) }
}

function parseLabel(label: string): { key: string; value: string } {
  const at = label.indexOf('=')
  if (at < 1) {
    throw new FreeholdError('invalid-input', 'A label filter is written key=value.', {
      details: [{ path: 'query.label', message: 'key=value expected' }],
    })
  }
  return { key: label.slice(0, at), value: label.slice(at + 1) }
}

type Patch = Record<string, unknown>

/** Applies a JSON merge patch (RFC 7396 §2): null removes, objects merge, everything else replaces. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch
  const result: Patch = isObject(target) ? { ...target } : {}
  for (const [name, value] of Object.entries(patch)) {
    if (value === undefined) continue
    if (value === null) delete result[name]
    else result[name] = mergePatch(result[name], value)
  }
  return result
}

function isObject(value: unknown): value is Patch {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

import type { ChangeEntry, Resource } from '@freehold/contracts'
import type { InfiniteData } from '@tanstack/react-query'
import type { Filters, Page } from './queries.ts'

const ownerFilters = [
  ...['clusterId', 'serviceId', 'userId', 'channelId', 'releaseId', 'product', 'type'],
  ...['imageKind', 'architecture', 'baseImageId'],
] as const
/** Filters whose value a resource keeps for life: a change never moves it in or out of such a list. */
const fixedFilters: ReadonlySet<string> = new Set([...ownerFilters, 'limit'])

/**
 * A list after a change. `stale` says that the change may bring the list a new row or take one away that only the
 * server can tell; then it must be read again. Older changes than what is shown do nothing.
 */
export function patchList(
  list: InfiniteData<Page>,
  change: ChangeEntry,
  filters: Filters,
): { list: InfiniteData<Page>; stale: boolean } {
  const shown = list.pages.flatMap((page) => page.items).find((item) => item.id === change.id)
  if (change.operation === 'delete') {
    return { list: shown === undefined ? list : mapItems(list, change.id, () => []), stale: false }
  }
  const after = resourceOf(change)
  if (after === null) return { list, stale: true }
  const mayMove = Object.entries(filters).some(([name, value]) => value !== undefined && !fixedFilters.has(name))
  if (shown === undefined) {
    return { list, stale: mayMove || (change.operation === 'create' && mayBelong(after, filters)) }
  }
  if (shown.version >= change.version) return { list, stale: false }
  return { list: mapItems(list, change.id, () => [after]), stale: mayMove }
}

/** A resource after a change: null once deleted, the same object where the change is older than it. */
export function patchOne(shown: Resource | null, change: ChangeEntry): Resource | null {
  if (change.operation === 'delete') return null
  const after = resourceOf(change)
  if (after === null || shown === null || shown.version >= change.version) return shown
  return after
}

function mapItems(list: InfiniteData<Page>, id: string, map: (item: Resource) => Resource[]): InfiniteData<Page> {
  const pages = list.pages.map((page) =>
    page.items.some((item) => item.id === id)
      ? { ...page, items: page.items.flatMap((item) => (item.id === id ? map(item) : [item])) }
      : page,
  )
  return { ...list, pages }
}

function mayBelong(resource: Resource, filters: Filters): boolean {
  const data = resource.data as Record<string, unknown>
  return ownerFilters.every((name) => filters[name] === undefined || data[name] === filters[name])
}

/** What the change says the resource is now; null where it does not say. */
function resourceOf(change: ChangeEntry): Resource | null {
  const { after } = change
  if (typeof after !== 'object' || after === null) return null
  return 'id' in after && 'data' in after && 'status' in after && 'version' in after ? (after as Resource) : null
}

import type { Client, Output } from '@freehold/client'
import { idSchema, kinds, type Resource, type Routes } from '@freehold/contracts'
import { type InfiniteData, useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { useMemo } from 'react'
import { useClient } from './client.tsx'

/** Nouns with a list of resources. */
export type Noun =
  | 'clusters'
  | 'nodes'
  | 'enrolments'
  | 'services'
  | 'revisions'
  | 'rollouts'
  | 'images'
  | 'externalRegistries'
  | 'devices'
  | 'joinTokens'
  | 'releases'
  | 'channels'
  | 'deviceGroups'
  | 'releaseRollouts'
  | 'builds'
  | 'baseImages'
  | 'users'
  | 'tokens'
export type ItemOf<N extends Noun> = Output<Routes[N]['list']> extends { items: (infer Item)[] } ? Item : never
type ReadableNoun = Exclude<Noun, 'enrolments'>

export interface Page<Item = Resource> {
  items: Item[]
  nextCursor: string | null
  version: number
}
export type Filters = Record<string, string | number | undefined>
/** How many a page may hold at most; for lists that a page shows whole. */
export const wholePage = 500

/** How the cache names things: `[noun, 'list', filters]` and `[noun, 'one', id]`. */
const listKey = (noun: Noun, filters: Filters = {}) => [noun, 'list', filters] as const
const oneKey = (noun: Noun, id: string) => [noun, 'one', id] as const
export const statusKey = ['status'] as const
/** What the registry tells of repositories; read again when something in them, or a service, changes. */
export const contentsKey = ['image-contents'] as const

/** `service` → `services`; undefined for kinds no page shows. */
export function nounOfKind(kind: string): Noun | undefined {
  const plural = Object.values(kinds).find(({ name }) => name === kind)?.plural
  return plural?.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase()) as Noun | undefined
}

type AnyList = (input: { query: Filters; signal: AbortSignal }) => Promise<Page<never>>
type AnyGet = (input: { params: { id: string }; signal: AbortSignal }) => Promise<never>

/** A list as far as it was read, in order of creation; `more()` reads on. Kept true by the change feed. */
export function useList<N extends Noun>(noun: N, filters: Filters = {}, options: { enabled?: boolean } = {}) {
  const client = useClient()
  const query = useInfiniteQuery({
    queryKey: listKey(noun, filters),
    enabled: options.enabled ?? true,
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam, signal }): Promise<Page<ItemOf<N>>> =>
      (client[noun].list as unknown as AnyList)({ query: { ...filters, cursor: pageParam }, signal }),
    getNextPageParam: (page) => page.nextCursor ?? undefined,
    placeholderData: (before: InfiniteData<Page<ItemOf<N>>, string | undefined> | undefined) => before,
  })
  const items = useMemo(() => query.data?.pages.flatMap((page) => page.items) ?? [], [query.data])
  return {
    items,
    isPending: query.isPending,
    error: query.error,
    hasMore: query.hasNextPage,
    isLoadingMore: query.isFetchingNextPage,
    more: () => void query.fetchNextPage(),
  }
}

/** One resource; null once it is deleted, and of what is no id: nothing has that. Kept true by the change feed. */
export function useOne<N extends ReadableNoun>(noun: N, id: string | null | undefined) {
  const client = useClient()
  return useQuery({
    queryKey: oneKey(noun, id ?? ''),
    enabled: typeof id === 'string',
    queryFn: async ({ signal }): Promise<ItemOf<N> | null> =>
      idSchema.safeParse(id).success
        ? await (client[noun].get as unknown as AnyGet)({ params: { id: id ?? '' }, signal })
        : null,
  })
}

export const statusQuery = (client: Client) => ({
  queryKey: statusKey,
  queryFn: ({ signal }: { signal: AbortSignal }) => client.status.get({ signal }),
})
export function useStatus() {
  return useQuery(statusQuery(useClient()))
}

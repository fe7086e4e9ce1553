import type { DeletionPlan, ImageManifest, ImageSummary, ImageTag } from '@freehold/contracts'
import { type InfiniteData, useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { useMemo } from 'react'
import { useClient } from '../../app/client.tsx'
import { contentsKey } from '../../app/queries.ts'

interface Page<Item> {
  items: Item[]
  nextCursor: string | null
}
type Read<Item> = (query: { limit: number; cursor?: string | undefined }, signal: AbortSignal) => Promise<Page<Item>>
const pageRows = 50

/** A list as far as it was read, the last changed first; read again when the registry or a service changes. */
function usePages<Item>(key: readonly unknown[], read: Read<Item>) {
  const query = useInfiniteQuery({
    queryKey: [...contentsKey, ...key],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam, signal }) => read({ limit: pageRows, cursor: pageParam }, signal),
    getNextPageParam: (page) => page.nextCursor ?? undefined,
    placeholderData: (before: InfiniteData<Page<Item>, string | undefined> | undefined) => before,
  })
  const items = useMemo(() => query.data?.pages.flatMap((page) => page.items) ?? [], [query.data])
  return {
    items,
    isPending: query.isPending,
    error: query.error,
    retry: () => void query.refetch(),
    more: { hasMore: query.hasNextPage, isLoading: query.isFetchingNextPage, load: () => void query.fetchNextPage() },
  }
}

export function useSummaries(search: string) {
  const client = useClient()
  return usePages<ImageSummary>(['summaries', search], (page, signal) =>
    client.images.summaries({ query: { ...page, ...(search === '' ? {} : { search }) }, signal }),
  )
}

/** What the list shows of one image. */
export function useSummary(id: string) {
  const client = useClient()
  return useQuery({
    queryKey: [...contentsKey, 'summary', id],
    queryFn: async ({ signal }) => (await client.images.summaries({ query: { id }, signal })).items[0] ?? null,
  })
}

export function useTags(id: string, search: string) {
  const client = useClient()
  return usePages<ImageTag>(['tags', id, search], (page, signal) =>
    client.images.tags({ params: { id }, query: { ...page, ...(search === '' ? {} : { search }) }, signal }),
  )
}

export function useManifests(id: string) {
  const client = useClient()
  return usePages<ImageManifest>(['manifests', id], (page, signal) =>
    client.images.manifests({ params: { id }, query: page, signal }),
  )
}

export function useManifest(id: string, digest: string) {
  const client = useClient()
  return useQuery({
    queryKey: [...contentsKey, 'manifest', id, digest],
    queryFn: ({ signal }) => client.images.manifest({ params: { id, digest }, signal }),
  })
}

/** What shall be deleted from an image. */
export interface Wanted {
  tags: string[]
  manifests: string[]
}

/** What a delete would do now. */
export function useDeletionPreview(id: string, wanted: Wanted, cascade: boolean) {
  const client = useClient()
  return useQuery<DeletionPlan>({
    queryKey: [...contentsKey, 'deletion', id, wanted, cascade],
    placeholderData: (before) => before,
    gcTime: 0,
    queryFn: ({ signal }) =>
      client.images.deletions({ params: { id }, body: { ...wanted, cascade, preview: true }, signal }),
  })
}

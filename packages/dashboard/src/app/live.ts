import { ApiError, type Client, type ConnectionState, isAbort } from '@freehold/client'
import type { ChangeEntry, Resource } from '@freehold/contracts'
import { type InfiniteData, type QueryClient, useQueryClient } from '@tanstack/react-query'
import { useEffect, useState } from 'react'
import { isSignedOut } from './cache.ts'
import { useClient } from './client.tsx'
import { patchList, patchOne } from './patch.ts'
import { contentsKey, type Filters, type Noun, nounOfKind, type Page, statusKey, statusQuery } from './queries.ts'
import { whileShown } from './while-shown.ts'

/** Lists are read again at most this often, however many changes come. */
const refreshEveryMs = 400
/** A server that restarts is back sooner than this; only then is a lost connection worth a word. */
const worthSayingMs = 1_500
const restartAfterMs = 3_000

/**
 * The one watch of the page: patches what the cache holds by every change, reads again what a patch cannot tell.
 * Returns why the connection is lost, or null while all is well, and whether the first version is known, before which
 * nothing should be read.
 */
export function useLiveFeed(): { isReady: boolean; lost: ApiError | 'closed' | null } {
  const client = useClient()
  const cache = useQueryClient()
  const [isReady, setReady] = useState(false)
  const [lost, setLost] = useState<ApiError | 'closed' | null>(null)

  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined
    const onConnection = (state: ConnectionState) => {
      clearTimeout(timer)
      if (state.state === 'connected') setLost(null)
      else timer = setTimeout(() => setLost((before) => before ?? state.error ?? 'closed'), worthSayingMs)
    }
    const refresh = createRefresh(cache)
    const stop = whileShown((signal, isAgain) => {
      const onReady = () => setReady(true)
      void follow({ client, cache, signal, isAgain, onConnection, refresh, onReady })
    })
    return () => {
      stop()
      clearTimeout(timer)
      refresh.stop()
    }
  }, [client, cache])

  return { isReady, lost }
}

async function follow(options: {
  client: Client
  cache: QueryClient
  signal: AbortSignal
  /** The cache was filled by an earlier watch, and what changed since that is unknown. */
  isAgain: boolean
  onConnection: (state: ConnectionState) => void
  refresh: ReturnType<typeof createRefresh>
  onReady: () => void
}): Promise<void> {
  const { client, cache, signal, onConnection, refresh } = options
  let isStale = options.isAgain
  while (!signal.aborted) {
    try {
      const { storeVersion: since } = await cache.fetchQuery({ ...statusQuery(client), staleTime: 0 })
      options.onReady()
      if (isStale) void cache.invalidateQueries()
      isStale = true
      for await (const change of client.changes.watch({ since, signal, onConnection })) {
        applyChange(cache, change, refresh.ask)
      }
    } catch (error) {
      if (signal.aborted || isAbort(error)) return
      if (isSignedOut(error)) return void cache.setQueryData(['identity'], null)
      isStale = true
      options.onReady()
      const expired = error instanceof ApiError && error.code === 'feed-expired'
      if (!expired) {
        const known = error instanceof ApiError ? error : null
        onConnection({ state: 'disconnected', error: known, retryInMs: restartAfterMs })
        await new Promise((resolve) => setTimeout(resolve, restartAfterMs))
      }
    }
  }
}

type Wanted = Noun | 'status' | 'audit' | 'contents'
/** Kinds of which what the registry tells of its repositories is made. */
const contentKinds: ReadonlySet<string> = new Set(['image', 'tag', 'manifest', 'service', 'revision'])

/** Brings the cache to where the change left the store; `ask` wants a noun's lists read again. */
function applyChange(cache: QueryClient, change: ChangeEntry, ask: (what: Wanted) => void): void {
  ask('audit')
  if (contentKinds.has(change.kind)) ask('contents')
  const noun = nounOfKind(change.kind)
  if (noun === undefined) return
  ask('status')
  for (const [key, list] of cache.getQueriesData<InfiniteData<Page>>({ queryKey: [noun, 'list'] })) {
    if (list === undefined) continue
    const patched = patchList(list, change, (key[2] ?? {}) as Filters)
    if (patched.list !== list) cache.setQueryData(key, patched.list)
    if (patched.stale) ask(noun)
  }
  cache.setQueryData<Resource | null>([noun, 'one', change.id], (shown) =>
    shown === undefined ? undefined : patchOne(shown, change),
  )
}

/** Collects what must be read again and does so together, at most every `refreshEveryMs`. */
function createRefresh(cache: QueryClient) {
  const wanted = new Set<Wanted>()
  let timer: ReturnType<typeof setTimeout> | undefined
  const run = () => {
    timer = undefined
    for (const what of wanted) {
      void cache.invalidateQueries({ queryKey: keyOf(what) })
    }
    wanted.clear()
  }
  return {
    ask(what: Wanted) {
      wanted.add(what)
      timer ??= setTimeout(run, refreshEveryMs)
    },
    stop() {
      clearTimeout(timer)
    },
  }
}

function keyOf(what: Wanted): readonly unknown[] {
  if (what === 'status') return statusKey
  if (what === 'contents') return contentsKey
  return what === 'audit' ? ['audit'] : [what, 'list']
}

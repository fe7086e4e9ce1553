import { ApiError } from '@freehold/client'
import { MutationCache, QueryCache, QueryClient } from '@tanstack/react-query'

const maxRetries = 3

/**
 * The cache of what was read. The change feed keeps it true, so nothing goes stale by age; a request that says the
 * session is over ends it for the whole page.
 */
export function createCache(): QueryClient {
  const onError = (error: unknown) => {
    if (isSignedOut(error)) cache.setQueryData(['identity'], null)
  }
  const cache: QueryClient = new QueryClient({
    queryCache: new QueryCache({ onError }),
    mutationCache: new MutationCache({ onError }),
    defaultOptions: {
      queries: {
        staleTime: Number.POSITIVE_INFINITY,
        gcTime: 60_000,
        networkMode: 'always',
        refetchOnWindowFocus: false,
        retry: (failures, error) => failures < maxRetries && isPassing(error),
        retryDelay: (failures) => Math.min(4_000, 500 * 2 ** failures),
      },
      mutations: { networkMode: 'always' },
    },
  })
  return cache
}

export function isSignedOut(error: unknown): boolean {
  return error instanceof ApiError && (error.code === 'unauthenticated' || error.code === 'token-expired')
}

/** True for what may be otherwise in a moment. */
function isPassing(error: unknown): boolean {
  return error instanceof ApiError && (error.code === 'unavailable' || error.code === 'timeout')
}

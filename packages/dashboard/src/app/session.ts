import { type Action, type Identity, mayDo } from '@freehold/contracts'
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { isSignedOut } from './cache.ts'
import { useClient } from './client.tsx'

/** Who is signed in: undefined while unknown, null for nobody. */
export function useIdentity() {
  const client = useClient()
  return useQuery({
    queryKey: ['identity'],
    queryFn: async ({ signal }): Promise<Identity | null> => {
      try {
        return await client.auth.identity({ signal })
      } catch (error) {
        if (isSignedOut(error)) return null
        throw error
      }
    },
  })
}

/** Whether the signed-in role may do an action; false while nobody is. */
export function useMay(): (action: Action) => boolean {
  const { data: identity } = useIdentity()
  return (action) => identity !== null && identity !== undefined && mayDo(identity.role, action)
}

/** Puts the one who just signed in into the cache, which forgets what another may have seen. */
export function useEnter(): (identity: Identity) => void {
  const cache = useQueryClient()
  return (identity) => {
    cache.clear()
    cache.setQueryData(['identity'], identity)
  }
}

/** Ends the session, here and on the server. */
export function useLeave(): () => Promise<void> {
  const client = useClient()
  const cache = useQueryClient()
  return async () => {
    try {
      await client.auth.logout()
    } finally {
      cache.setQueryData(['identity'], null)
    }
  }
}

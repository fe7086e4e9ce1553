import { useMutation, useQuery } from '@tanstack/react-query'
import { getRouteApi, useRouter } from '@tanstack/react-router'
import { useEffect, useState } from 'react'
import { useClient } from '../../app/client.tsx'
import { useEnter, useIdentity } from '../../app/session.ts'
import { Button } from '../../components/button.tsx'
import { Entrance } from '../../components/entrance.tsx'
import { ErrorNote, faultAt } from '../../components/error-note.tsx'
import { TextField } from '../../components/field.tsx'
import { safeNext } from './next.ts'

const route = getRouteApi('/sign-in')

export function SignInPage() {
  const { next } = route.useSearch()
  const { data: identity } = useIdentity()
  const client = useClient()
  const enter = useEnter()
  const [username, setUsername] = useState('')
  const [password, setPassword] = useState('')
  const setup = useQuery({ queryKey: ['setup'], queryFn: ({ signal }) => client.auth.setupState({ signal }) })
  const login = useMutation({
    mutationFn: () => client.auth.login({ body: { username, password } }),
    onSuccess: (signedIn) => enter(signedIn.identity),
  })
  const router = useRouter()
  const isSignedIn = identity !== null && identity !== undefined
  useEffect(() => {
    // By its text and not as a route, because it may carry a query.
    if (isSignedIn) router.history.replace(safeNext(next))
  }, [isSignedIn, next, router])
  if (isSignedIn) return null
  if (setup.data?.needed === true) return <SetUpFirst />
  return (
    <Entrance title="Sign in">
      <form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          login.mutate()
        }}
      >
        <TextField
          label="User name"
          name="username"
          autoComplete="username"
          autoCapitalize="none"
          spellCheck={false}
          required
          value={username}
          onChange={setUsername}
          error={faultAt(login.error, 'username')}
        />
        <TextField
          label="Password"
          name="password"
          type="password"
          autoComplete="current-password"
          required
          value={password}
          onChange={setPassword}
          error={faultAt(login.error, 'password')}
        />
        <ErrorNote error={login.error} shownPaths={['username', 'password']} />
        <Button type="submit" look="primary" busy={login.isPending}>
          Sign in
        </Button>
      </form>
    </Entrance>
  )
}

function SetUpFirst() {
  return (
    <Entrance title="Welcome to Freehold">
      <div className="flex flex-col gap-2 text-sm">
        <p className="font-medium">There is no administrator yet.</p>
        <p className="text-muted">
          Open the one-time setup link that the control plane printed in its terminal at the first start. It looks like
          this:
        </p>
        <code className="font-mono text-xs break-all">{location.origin}/setup?token=…</code>
      </div>
    </Entrance>
  )
}

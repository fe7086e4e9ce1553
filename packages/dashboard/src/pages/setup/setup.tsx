import { useMutation, useQuery } from '@tanstack/react-query'
import { getRouteApi, useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { useClient } from '../../app/client.tsx'
import { useEnter } from '../../app/session.ts'
import { Button, ButtonLink } from '../../components/button.tsx'
import { Entrance } from '../../components/entrance.tsx'
import { ErrorNote, faultAt } from '../../components/error-note.tsx'
import { TextField } from '../../components/field.tsx'

const route = getRouteApi('/setup')

/** Makes the first administrator with the one-time token of the address. */
export function SetupPage() {
  const { token = '' } = route.useSearch()
  const client = useClient()
  const enter = useEnter()
  const navigate = useNavigate()
  const [username, setUsername] = useState('admin')
  const [password, setPassword] = useState('')
  const state = useQuery({ queryKey: ['setup'], queryFn: ({ signal }) => client.auth.setupState({ signal }) })
  const setup = useMutation({
    mutationFn: () => client.auth.setup({ body: { token, username, password } }),
    onSuccess: (signedIn) => {
      enter(signedIn.identity)
      void navigate({ to: '/', replace: true })
    },
  })
  if (state.data?.needed === false && !setup.isSuccess) {
    return (
      <Entrance title="Freehold is set up">
        <div className="flex flex-col gap-4 text-sm">
          <p>The first administrator exists already, so this link has done its work.</p>
          <ButtonLink to="/sign-in" look="primary">
            Sign in
          </ButtonLink>
        </div>
      </Entrance>
    )
  }
  return (
    <Entrance title="Set up Freehold" lead="Make the first administrator. You can add more people later.">
      <form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          setup.mutate()
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
          error={faultAt(setup.error, 'username')}
        />
        <TextField
          label="Password"
          name="password"
          type="password"
          autoComplete="new-password"
          required
          value={password}
          onChange={setPassword}
          hint="At least 10 characters. A few words make a good one."
          error={faultAt(setup.error, 'password')}
        />
        {token === '' && (
          <p className="text-sm text-bad">
            The address has no token. Open the whole link that the control plane printed at its first start.
          </p>
        )}
        <ErrorNote error={setup.error} shownPaths={['username', 'password']} />
        <Button type="submit" look="primary" busy={setup.isPending} disabled={token === ''}>
          Create administrator
        </Button>
      </form>
    </Entrance>
  )
}

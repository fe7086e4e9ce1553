import type { Identity } from '@freehold/contracts'
import { useMutation } from '@tanstack/react-query'
import { useState } from 'react'
import { useClient } from '../../app/client.tsx'
import { useIdentity, useMay } from '../../app/session.ts'
import { Button } from '../../components/button.tsx'
import { ErrorNote, faultAt } from '../../components/error-note.tsx'
import { TextField } from '../../components/field.tsx'
import { Facts, Page, Section } from '../../components/page.tsx'
import { Ago } from '../../components/time.tsx'
import { Tokens } from './tokens.tsx'

export function AccountPage() {
  const { data: identity } = useIdentity()
  const may = useMay()
  return (
    <Page title="Account">
      {identity !== null && identity !== undefined && <Me identity={identity} />}
      {identity?.subject === 'user' && (
        <Section title="Change password">
          <PasswordForm username={identity.name} />
        </Section>
      )}
      {may('tokens:read') && <Tokens />}
    </Page>
  )
}

function Me({ identity }: { identity: Identity }) {
  return (
    <Section title="You">
      <Facts
        facts={[
          ['User name', identity.name],
          ['Role', identity.role],
          [
            'Signed in until',
            identity.expiresAt === null ? 'you sign out' : <Ago key="until" at={identity.expiresAt} />,
          ],
        ]}
      />
    </Section>
  )
}

function PasswordForm({ username }: { username: string }) {
  const client = useClient()
  const [current, setCurrent] = useState('')
  const [next, setNext] = useState('')
  const change = useMutation({
    mutationFn: () => client.auth.changePassword({ body: { current, next } }),
    onSuccess: () => {
      setCurrent('')
      setNext('')
    },
  })
  return (
    <form
      className="flex max-w-sm flex-col gap-4"
      onSubmit={(event) => {
        event.preventDefault()
        change.mutate()
      }}
    >
      <input type="text" name="username" autoComplete="username" value={username} readOnly hidden />
      <TextField
        label="Current password"
        type="password"
        autoComplete="current-password"
        required
        value={current}
        onChange={setCurrent}
        error={faultAt(change.error, 'current')}
      />
      <TextField
        label="New password"
        type="password"
        autoComplete="new-password"
        required
        value={next}
        onChange={setNext}
        hint="At least 10 characters. Your other sessions end."
        error={faultAt(change.error, 'next')}
      />
      <ErrorNote error={change.error} shownPaths={['current', 'next']} />
      <div className="flex items-center gap-3">
        <Button type="submit" look="primary" busy={change.isPending}>
          Change password
        </Button>
        <span role="status" className="text-sm text-good">
          {change.isSuccess && next === '' ? '✓ Changed.' : ''}
        </span>
      </div>
    </form>
  )
}

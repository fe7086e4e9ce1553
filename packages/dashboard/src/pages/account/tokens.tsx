import { useMutation } from '@tanstack/react-query'
import { useMemo, useState } from 'react'
import { useClient } from '../../app/client.tsx'
import { ListTable } from '../../app/list-table.tsx'
import { type ItemOf, useList } from '../../app/queries.ts'
import { useMay } from '../../app/session.ts'
import { Button } from '../../components/button.tsx'
import { Confirm } from '../../components/confirm.tsx'
import { Command } from '../../components/copy.tsx'
import { Dialog, DialogActions } from '../../components/dialog.tsx'
import { ErrorNote, faultAt } from '../../components/error-note.tsx'
import { SelectField, TextField } from '../../components/field.tsx'
import { PlusIcon } from '../../components/icons.tsx'
import { Empty, Section } from '../../components/page.tsx'
import { State } from '../../components/state.tsx'
import { defineColumns } from '../../components/table.tsx'
import { Ago } from '../../components/time.tsx'

type Token = ItemOf<'tokens'>
const rowId = (token: Token) => token.id

/** Tokens for machines: shown once when made, recognised by how they begin, revoked here. */
export function Tokens() {
  const tokens = useList('tokens')
  const mayWrite = useMay()('tokens:write')
  const [isCreating, setCreating] = useState(false)
  const [revoking, setRevoking] = useState<Token | null>(null)
  const columns = useMemo(() => tokenColumns(mayWrite ? setRevoking : null), [mayWrite])
  const create = mayWrite && (
    <Button onClick={() => setCreating(true)}>
      <PlusIcon />
      Create token
    </Button>
  )
  return (
    <Section
      title="Machine tokens"
      lead="For CI, scripts and the registry."
      flush
      actions={tokens.items.length > 0 && create}
    >
      <ListTable
        label="Machine tokens"
        list={tokens}
        rows={tokens.items}
        rowId={rowId}
        columns={columns}
        skeletonRows={2}
        empty={
          <Empty title="No tokens yet" action={create}>
            A token lets a machine in without anyone's password, with a role and an end.
          </Empty>
        }
      />
      {isCreating && <CreateDialog onClose={() => setCreating(false)} />}
      {revoking !== null && <RevokeDialog token={revoking} onClose={() => setRevoking(null)} />}
    </Section>
  )
}

function tokenColumns(onRevoke: ((token: Token) => void) | null) {
  return defineColumns<Token>([
    {
      id: 'name',
      header: 'Name',
      value: ({ data }) => data.name,
      cell: ({ data }) => <span className="font-medium break-all">{data.name}</span>,
    },
    {
      id: 'prefix',
      header: 'Begins with',
      from: 'sm',
      cell: ({ data }) => <code className="font-mono text-xs">{data.prefix}…</code>,
    },
    { id: 'role', header: 'Role', value: ({ data }) => data.role, cell: ({ data }) => data.role },
    {
      id: 'expires',
      header: 'Expires',
      align: 'right',
      value: ({ data }) => data.expiresAt,
      cell: ({ data }) =>
        Date.parse(data.expiresAt) < Date.now() ? <State state="expired" /> : <Ago at={data.expiresAt} />,
    },
    {
      id: 'made',
      header: 'Made',
      from: 'md',
      align: 'right',
      value: ({ createdAt }) => createdAt,
      cell: ({ createdAt }) => (
        <span className="text-muted">
          <Ago at={createdAt} />
        </span>
      ),
    },
    {
      id: 'revoke',
      header: 'Action',
      align: 'right',
      cell: (token) =>
        onRevoke !== null && (
          <Button aria-label={`Revoke ${token.data.name}`} onClick={() => onRevoke(token)}>
            Revoke
          </Button>
        ),
    },
  ])
}

const lifetimes = [
  { value: '7', label: 'One week' },
  { value: '30', label: '30 days' },
  { value: '90', label: '90 days' },
  { value: '365', label: 'One year' },
]
const roles = [
  { value: 'api', label: 'api: runs services' },
  { value: 'user', label: 'user: runs services' },
  { value: 'admin', label: 'admin: everything, and pushes images' },
]
const dayMs = 86_400_000

function CreateDialog({ onClose }: { onClose: () => void }) {
  const client = useClient()
  const [name, setName] = useState('')
  const [role, setRole] = useState('api')
  const [days, setDays] = useState('90')
  const create = useMutation({
    mutationFn: () => {
      const expiresAt = new Date(Date.now() + Number(days) * dayMs).toISOString()
      return client.tokens.create({ body: { data: { name, role: role as Token['data']['role'], expiresAt } } })
    },
  })
  if (create.data !== undefined) {
    return (
      <Dialog title="Copy the token now" onClose={onClose} wide>
        <p className="text-sm text-muted">It is shown this once; only its hash is kept.</p>
        <Command label="Token" text={create.data.token} />
        <DialogActions>
          <Button look="primary" onClick={onClose}>
            I have it
          </Button>
        </DialogActions>
      </Dialog>
    )
  }
  return (
    <Dialog title="Create token" onClose={onClose} locked={create.isPending}>
      <form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          create.mutate()
        }}
      >
        <TextField
          label="Name"
          value={name}
          onChange={setName}
          required
          maxLength={64}
          placeholder="ci"
          hint="What will use it"
          error={faultAt(create.error, 'data.name')}
        />
        <SelectField
          label="Role"
          value={role}
          onChange={setRole}
          choices={roles}
          error={faultAt(create.error, 'data.role')}
        />
        <SelectField
          label="Valid for"
          value={days}
          onChange={setDays}
          choices={lifetimes}
          error={faultAt(create.error, 'data.expiresAt')}
        />
        <ErrorNote error={create.error} shownPaths={['data.name', 'data.role', 'data.expiresAt']} />
        <DialogActions>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="primary" busy={create.isPending}>
            Create token
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  )
}

function RevokeDialog({ token, onClose }: { token: Token; onClose: () => void }) {
  const client = useClient()
  const revoke = useMutation({ mutationFn: (_: undefined) => client.tokens.delete({ params: { id: token.id } }) })
  return (
    <Confirm title={`Revoke ${token.data.name}?`} action="Revoke token" mutation={revoke} onClose={onClose}>
      <p>Whatever uses it is refused from now on. This cannot be undone.</p>
    </Confirm>
  )
}

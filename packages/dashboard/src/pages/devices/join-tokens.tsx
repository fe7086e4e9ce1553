import type { Output } from '@freehold/client'
import type { Routes } from '@freehold/contracts'
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
import { LinesField, SelectField, TextField } from '../../components/field.tsx'
import { PlusIcon } from '../../components/icons.tsx'
import { ActionsMenu, MenuItem, MenuSeparator } from '../../components/menu.tsx'
import { Empty, Page } from '../../components/page.tsx'
import { State, Tag } from '../../components/state.tsx'
import { defineColumns } from '../../components/table.tsx'
import { Ago, useNowMs } from '../../components/time.tsx'
import { labelsOf } from './labels.ts'
import { DevicePlaces } from './places.tsx'

type JoinToken = ItemOf<'joinTokens'>
type Choice = { act: 'revoke' | 'delete'; token: JoinToken }
type Made = Output<Routes['joinTokens']['create']>
const rowId = (token: JoinToken) => token.id

export function JoinTokensPage() {
  const mayWrite = useMay()('join-tokens:write')
  const tokens = useList('joinTokens')
  const [isCreating, setCreating] = useState(false)
  const [chosen, setChosen] = useState<Choice | null>(null)
  const close = () => setChosen(null)
  const columns = useMemo(() => tokenColumns(mayWrite ? setChosen : null), [mayWrite])
  return (
    <Page
      title="Join tokens"
      places={<DevicePlaces />}
      lead={<p>A device enrols with one of these, once, and then has a token of its own.</p>}
      actions={
        mayWrite && (
          <Button look="primary" onClick={() => setCreating(true)}>
            <PlusIcon />
            Make join token
          </Button>
        )
      }
    >
      <ListTable
        label="Join tokens"
        list={tokens}
        rows={tokens.items}
        rowId={rowId}
        columns={columns}
        skeletonRows={3}
        empty={<Empty title="No join tokens yet">Make one, and put it into the environment of the device agent.</Empty>}
      />
      {isCreating && <CreateDialog onClose={() => setCreating(false)} />}
      {chosen?.act === 'revoke' && <RevokeDialog token={chosen.token} onClose={close} />}
      {chosen?.act === 'delete' && <DeleteDialog token={chosen.token} onClose={close} />}
    </Page>
  )
}

function tokenColumns(onChoose: ((choice: Choice) => void) | null) {
  return defineColumns<JoinToken>([
    {
      id: 'name',
      header: 'Name',
      value: ({ data }) => data.name,
      cell: ({ data }) => (
        <span className="flex min-w-0 flex-col">
          <span className="font-medium wrap-anywhere">{data.name}</span>
          <code className="font-mono text-xs text-muted">{data.prefix}…</code>
          {Object.keys(data.deviceLabels).length > 0 && (
            <span className="mt-1 flex flex-wrap gap-1">
              {Object.entries(data.deviceLabels).map(([key, value]) => (
                <Tag key={key}>{`${key}=${value}`}</Tag>
              ))}
            </span>
          )}
        </span>
      ),
    },
    {
      id: 'state',
      header: 'State',
      cell: (token) => (
        <span className="flex flex-col items-start gap-0.5">
          <TokenState token={token} />
          <span className="text-xs text-muted sm:hidden">
            {token.status.used} of {token.data.uses ?? 'any number'}
          </span>
        </span>
      ),
    },
    {
      id: 'used',
      header: 'Devices',
      from: 'sm',
      align: 'right',
      value: ({ status }) => status.used,
      cell: ({ data, status }) => (
        <span>
          {status.used}
          <span className="text-muted">/{data.uses ?? 'any'}</span>
        </span>
      ),
    },
    {
      id: 'refused',
      header: 'Refused',
      from: 'md',
      align: 'right',
      value: ({ status }) => status.refusals,
      cell: ({ status }) => <span title={status.lastRefusal?.reason ?? ''}>{status.refusals}</span>,
    },
    {
      id: 'expires',
      header: 'Expires',
      from: 'sm',
      align: 'right',
      value: ({ data }) => data.expiresAt,
      cell: ({ data }) => <Ago at={data.expiresAt} />,
    },
    {
      id: 'act',
      header: 'Action',
      align: 'right',
      cell: (token) => onChoose !== null && <TokenMenu token={token} onChoose={onChoose} />,
    },
  ])
}

function TokenMenu({ token, onChoose }: { token: JoinToken; onChoose: (choice: Choice) => void }) {
  const { name, revoked } = token.data
  return (
    <ActionsMenu label={`More actions of ${name}`}>
      {!revoked && (
        <>
          <MenuItem onSelect={() => onChoose({ act: 'revoke', token })}>Revoke</MenuItem>
          <MenuSeparator />
        </>
      )}
      <MenuItem danger onSelect={() => onChoose({ act: 'delete', token })}>
        Delete
      </MenuItem>
    </ActionsMenu>
  )
}

function TokenState({ token: { data, status } }: { token: JoinToken }) {
  const nowMs = useNowMs()
  if (data.revoked) return <State state="revoked" />
  if (data.uses !== null && status.used >= data.uses) return <State state="complete" label="Used up" />
  return Date.parse(data.expiresAt) <= nowMs ? <State state="expired" /> : <State state="passing" label="Open" />
}

const lifetimes = [
  { value: '3600', label: 'One hour' },
  { value: '86400', label: 'One day' },
  { value: '604800', label: 'One week' },
  { value: '2592000', label: '30 days' },
]

function CreateDialog({ onClose }: { onClose: () => void }) {
  const client = useClient()
  const [name, setName] = useState('')
  const [uses, setUses] = useState('1')
  const [lifetime, setLifetime] = useState('604800')
  const [labels, setLabels] = useState('')
  const create = useMutation({
    mutationFn: () =>
      client.joinTokens.create({
        body: {
          data: {
            name,
            uses: uses.trim() === '' ? null : Number(uses),
            expiresInSeconds: Number(lifetime),
            deviceLabels: labelsOf(labels),
          },
        },
      }),
  })
  if (create.data !== undefined) return <MadeDialog made={create.data} onClose={onClose} />
  const shownPaths = ['data.name', 'data.uses']
  return (
    <Dialog title="Make a join token" onClose={onClose} locked={create.isPending}>
      <form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          create.mutate()
        }}
      >
        <TextField
          label="Name"
          required
          autoComplete="off"
          value={name}
          onChange={setName}
          error={faultAt(create.error, 'data.name')}
        />
        <div className="grid gap-4 sm:grid-cols-2">
          <TextField
            label="For how many devices"
            hint="Empty: any number."
            type="number"
            min={1}
            value={uses}
            onChange={setUses}
            error={faultAt(create.error, 'data.uses')}
          />
          <SelectField label="Valid for" value={lifetime} onChange={setLifetime} choices={lifetimes} />
        </div>
        <LinesField label="Labels of its devices" hint="One a line: key=value." value={labels} onChange={setLabels} />
        <ErrorNote error={create.error} shownPaths={shownPaths} />
        <DialogActions>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="primary" busy={create.isPending}>
            Make join token
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  )
}

function MadeDialog({ made, onClose }: { made: Made; onClose: () => void }) {
  return (
    <Dialog title="Put this into the device" onClose={onClose} wide>
      <p className="text-sm text-muted">
        The environment of the device agent. The token is shown this once, and expires{' '}
        <Ago at={made.resource.data.expiresAt} />.
      </p>
      <Command label="Configuration" text={made.configuration.trimEnd()} />
      <p className="text-sm text-muted">The device appears in the list as soon as it has registered.</p>
      <DialogActions>
        <Button look="primary" onClick={onClose}>
          Done
        </Button>
      </DialogActions>
    </Dialog>
  )
}

function RevokeDialog({ token, onClose }: { token: JoinToken; onClose: () => void }) {
  const client = useClient()
  const revoke = useMutation({
    mutationFn: async (_: undefined): Promise<unknown> => client.joinTokens.revoke({ params: { id: token.id } }),
  })
  return (
    <Confirm title={`Revoke ${token.data.name}?`} action="Revoke" mutation={revoke} onClose={onClose}>
      <p>No further device can enrol with it. Those that did stay.</p>
    </Confirm>
  )
}

function DeleteDialog({ token, onClose }: { token: JoinToken; onClose: () => void }) {
  const client = useClient()
  const remove = useMutation({
    mutationFn: async (_: undefined): Promise<unknown> => client.joinTokens.delete({ params: { id: token.id } }),
  })
  return (
    <Confirm title={`Delete ${token.data.name}?`} action="Delete" mutation={remove} onClose={onClose}>
      <p>
        No further device can enrol with it, and the record of who tried goes. Those that did enrol stay.
        {token.data.buildId !== null && ' The image it was made for enrols no device any more.'}
      </p>
    </Confirm>
  )
}

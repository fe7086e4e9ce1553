import type { User } from '@freehold/contracts'
import { useDeferredValue, useMemo, useState } from 'react'
import { ListTable } from '../../app/list-table.tsx'
import { useList } from '../../app/queries.ts'
import { useIdentity, useMay } from '../../app/session.ts'
import { Button } from '../../components/button.tsx'
import { PlusIcon } from '../../components/icons.tsx'
import { ActionsMenu, MenuItem, MenuSeparator } from '../../components/menu.tsx'
import { Empty, Page } from '../../components/page.tsx'
import { SearchField } from '../../components/search.tsx'
import { State, Tag } from '../../components/state.tsx'
import { defineColumns } from '../../components/table.tsx'
import { Ago } from '../../components/time.tsx'
import { CreateUserDialog, DeleteUserDialog, DisableUserDialog, PasswordDialog, RoleDialog } from './dialogs.tsx'

const rowId = (user: User) => user.id
export type UserAct = 'role' | 'password' | 'disable' | 'delete'
interface Chosen {
  user: User
  act: UserAct
}

export function UsersPage() {
  const may = useMay()
  const { data: me } = useIdentity()
  const [search, setSearch] = useState('')
  const [isCreating, setCreating] = useState(false)
  const [chosen, setChosen] = useState<Chosen | null>(null)
  const mayRead = may('users:read')
  const mayWrite = may('users:write')
  const wanted = useDeferredValue(search.trim())
  const users = useList('users', { search: wanted === '' ? undefined : wanted }, { enabled: mayRead })
  const myId = me?.userId ?? ''
  const columns = useMemo(() => userColumns({ myId, onChoose: mayWrite ? setChosen : null }), [myId, mayWrite])
  const close = () => setChosen(null)
  if (!mayRead) {
    return (
      <Page title="Users">
        <Empty title="Your role may not see users.">Ask an administrator.</Empty>
      </Page>
    )
  }
  return (
    <Page
      title="Users"
      actions={
        mayWrite && (
          <Button look="primary" onClick={() => setCreating(true)}>
            <PlusIcon />
            Create user
          </Button>
        )
      }
    >
      <search>
        <SearchField label="Search users" value={search} onChange={setSearch} />
      </search>
      <ListTable
        label="Users"
        list={users}
        rows={users.items}
        rowId={rowId}
        columns={columns}
        skeletonRows={3}
        empty={<Empty title="No user fits." />}
      />
      {isCreating && <CreateUserDialog onClose={() => setCreating(false)} />}
      {chosen?.act === 'role' && <RoleDialog user={chosen.user} onClose={close} />}
      {chosen?.act === 'password' && <PasswordDialog user={chosen.user} onClose={close} />}
      {chosen?.act === 'disable' && <DisableUserDialog user={chosen.user} onClose={close} />}
      {chosen?.act === 'delete' && <DeleteUserDialog user={chosen.user} onClose={close} />}
    </Page>
  )
}

function userColumns({ myId, onChoose }: { myId: string; onChoose: ((chosen: Chosen) => void) | null }) {
  return defineColumns<User>([
    {
      id: 'name',
      header: 'Name',
      value: ({ data }) => data.name,
      cell: ({ id, data }) => (
        <span className="flex flex-wrap items-center gap-x-2">
          <span className="font-medium break-all">{data.name}</span>
          {id === myId && <Tag tone="moving">you</Tag>}
          {data.type === 'machine' && <Tag>machine</Tag>}
        </span>
      ),
    },
    { id: 'role', header: 'Role', value: ({ data }) => data.role, cell: ({ data }) => data.role },
    {
      id: 'state',
      header: 'State',
      value: ({ data }) => (data.disabled ? 'disabled' : 'active'),
      cell: ({ data }) => (data.disabled ? <State state="disabled" /> : <span className="text-muted">active</span>),
    },
    {
      id: 'made',
      header: 'Made',
      from: 'sm',
      align: 'right',
      value: ({ createdAt }) => createdAt,
      cell: ({ createdAt }) => (
        <span className="text-muted">
          <Ago at={createdAt} />
        </span>
      ),
    },
    {
      id: 'more',
      header: 'Actions',
      align: 'right',
      cell: (user) =>
        onChoose !== null &&
        user.data.type === 'human' && <UserMenu user={user} isMe={user.id === myId} onChoose={onChoose} />,
    },
  ])
}

function UserMenu({ user, isMe, onChoose }: { user: User; isMe: boolean; onChoose: (chosen: Chosen) => void }) {
  const label = `Actions for ${user.data.name}`
  return (
    <ActionsMenu label={label}>
      <MenuItem onSelect={() => onChoose({ user, act: 'role' })}>Change role</MenuItem>
      <MenuItem onSelect={() => onChoose({ user, act: 'password' })}>Set password</MenuItem>
      <MenuItem disabled={isMe} onSelect={() => onChoose({ user, act: 'disable' })}>
        {user.data.disabled ? 'Let in again' : 'Disable'}
      </MenuItem>
      <MenuSeparator />
      <MenuItem danger disabled={isMe} onSelect={() => onChoose({ user, act: 'delete' })}>
        Delete user
      </MenuItem>
    </ActionsMenu>
  )
}

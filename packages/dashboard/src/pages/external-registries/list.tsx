import { useMutation } from '@tanstack/react-query'
import { useDeferredValue, useMemo, useState } from 'react'
import { useClient } from '../../app/client.tsx'
import { ListTable } from '../../app/list-table.tsx'
import { useList } from '../../app/queries.ts'
import { useMay } from '../../app/session.ts'
import { Button } from '../../components/button.tsx'
import { ErrorNote } from '../../components/error-note.tsx'
import { PlusIcon } from '../../components/icons.tsx'
import { ActionsMenu, MenuItem, MenuSeparator } from '../../components/menu.tsx'
import { Empty, Page } from '../../components/page.tsx'
import { SearchField } from '../../components/search.tsx'
import { State, Tag } from '../../components/state.tsx'
import { defineColumns } from '../../components/table.tsx'
import { Ago } from '../../components/time.tsx'
import { DeleteRegistryDialog, type Registry, RegistryDialog } from './dialogs.tsx'

interface Chosen {
  registry: Registry
  act: 'edit' | 'delete'
}
const rowId = (registry: Registry) => registry.id

export function ExternalRegistriesPage() {
  const client = useClient()
  const mayWrite = useMay()('external-registries:write')
  const [search, setSearch] = useState('')
  const [isCreating, setCreating] = useState(false)
  const [chosen, setChosen] = useState<Chosen | null>(null)
  const wanted = useDeferredValue(search.trim())
  const registries = useList('externalRegistries', { search: wanted === '' ? undefined : wanted })
  const test = useMutation({
    mutationFn: (id: string) => client.externalRegistries.test({ params: { id } }),
  })
  const testing = test.isPending ? test.variables : undefined
  const testNow = test.mutate
  const columns = useMemo(
    () => registryColumns({ testing, write: mayWrite ? { onChoose: setChosen, onTest: testNow } : null }),
    [mayWrite, testing, testNow],
  )
  const close = () => setChosen(null)
  return (
    <Page
      title="Registries"
      actions={
        mayWrite && (
          <Button look="primary" onClick={() => setCreating(true)}>
            <PlusIcon />
            Add registry
          </Button>
        )
      }
    >
      <p className="max-w-prose text-sm text-muted">
        Registries elsewhere, with the credentials that Freehold signs in with there: for images that services run, for
        mirrors and for imports.
      </p>
      <search>
        <SearchField label="Search registries" value={search} onChange={setSearch} />
      </search>
      <ErrorNote error={test.error} />
      <ListTable
        label="Registries"
        list={registries}
        rows={registries.items}
        rowId={rowId}
        columns={columns}
        skeletonRows={3}
        empty={
          <Empty title={wanted === '' ? 'No registries yet' : 'No registry fits.'}>
            {wanted === '' && 'Public images need none. Add one for what is private, or to mirror and import from it.'}
          </Empty>
        }
      />
      {isCreating && <RegistryDialog registry={null} onClose={() => setCreating(false)} />}
      {chosen?.act === 'edit' && <RegistryDialog registry={chosen.registry} onClose={close} />}
      {chosen?.act === 'delete' && <DeleteRegistryDialog registry={chosen.registry} onClose={close} />}
    </Page>
  )
}

interface Write {
  onChoose: (chosen: Chosen) => void
  onTest: (id: string) => void
}

function registryColumns({ testing, write }: { testing: string | undefined; write: Write | null }) {
  return defineColumns<Registry>([
    {
      id: 'name',
      header: 'Name',
      value: ({ data }) => data.name,
      cell: ({ data }) => (
        <span className="flex min-w-0 flex-col">
          <span className="flex flex-wrap items-center gap-x-2">
            <span className="font-medium break-all">{data.name}</span>
            {data.type === 'npm' && <Tag>npm</Tag>}
          </span>
          <span className="text-xs break-all text-muted">{data.url}</span>
        </span>
      ),
    },
    {
      id: 'user',
      header: 'Signs in as',
      from: 'sm',
      value: ({ data }) => data.username,
      cell: ({ data }) => <span className="break-all text-muted">{signsInAs(data)}</span>,
    },
    {
      id: 'state',
      header: 'State',
      value: ({ status }) => status.state,
      cell: ({ id, status }) =>
        testing === id ? (
          <State state="preparing" label="Testing" />
        ) : (
          <span className="flex min-w-0 flex-col items-start gap-0.5">
            <State state={status.state} />
            {status.testedAt !== null && (
              <span className="max-w-80 text-xs text-muted">
                {status.message} Tested <Ago at={status.testedAt} />.
              </span>
            )}
          </span>
        ),
    },
    {
      id: 'more',
      header: 'Actions',
      align: 'right',
      cell: (registry) => write !== null && <RegistryMenu registry={registry} {...write} />,
    },
  ])
}

function signsInAs({ username, passwordSet }: Registry['data']): string {
  if (!passwordSet) return 'nobody'
  return username === '' ? 'a token' : username
}

function RegistryMenu({ registry, onChoose, onTest }: Write & { registry: Registry }) {
  const label = `Actions for ${registry.data.name}`
  return (
    <ActionsMenu label={label}>
      <MenuItem onSelect={() => onTest(registry.id)}>Test now</MenuItem>
      <MenuItem onSelect={() => onChoose({ registry, act: 'edit' })}>Edit</MenuItem>
      <MenuSeparator />
      <MenuItem danger onSelect={() => onChoose({ registry, act: 'delete' })}>
        Delete registry
      </MenuItem>
    </ActionsMenu>
  )
}

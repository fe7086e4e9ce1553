import type { Cluster } from '@freehold/contracts'
import { useMutation } from '@tanstack/react-query'
import { Link, useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { useClient } from '../../app/client.tsx'
import { ListTable } from '../../app/list-table.tsx'
import { useList } from '../../app/queries.ts'
import { useMay } from '../../app/session.ts'
import { Button } from '../../components/button.tsx'
import { Dialog, DialogActions } from '../../components/dialog.tsx'
import { ErrorNote, faultAt } from '../../components/error-note.tsx'
import { TextField } from '../../components/field.tsx'
import { PlusIcon } from '../../components/icons.tsx'
import { Empty, Page } from '../../components/page.tsx'
import { State } from '../../components/state.tsx'
import { defineColumns } from '../../components/table.tsx'
import { Ago } from '../../components/time.tsx'

const columns = defineColumns<Cluster>([
  {
    id: 'name',
    header: 'Name',
    value: ({ data }) => data.name,
    cell: ({ id, data }) => (
      <Link to="/clusters/$id" params={{ id }} className="font-medium hover:underline">
        {data.name}
      </Link>
    ),
  },
  {
    id: 'state',
    header: 'State',
    value: ({ status }) => status.state,
    cell: ({ status }) => <State state={status.state} title={status.message} />,
  },
  {
    id: 'message',
    header: 'What it says',
    from: 'md',
    cell: ({ status }) => <span className="text-muted">{status.message}</span>,
  },
  {
    id: 'machines',
    header: 'Machines',
    align: 'right',
    value: ({ status }) => status.swarmNodes.length,
    cell: ({ status }) => status.swarmNodes.length,
  },
  {
    id: 'engine',
    header: 'Engine',
    from: 'lg',
    value: ({ status }) => status.engineVersion ?? '',
    cell: ({ status }) => status.engineVersion ?? '–',
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
])
const rowId = (cluster: Cluster) => cluster.id

export function ClustersPage() {
  const clusters = useList('clusters')
  const mayWrite = useMay()('clusters:write')
  const [isCreating, setCreating] = useState(false)
  const create = mayWrite && (
    <Button look="primary" onClick={() => setCreating(true)}>
      <PlusIcon />
      Create cluster
    </Button>
  )
  return (
    <Page title="Clusters" actions={clusters.items.length > 0 && create}>
      <ListTable
        label="Clusters"
        list={clusters}
        rows={clusters.items}
        rowId={rowId}
        columns={columns}
        skeletonRows={4}
        empty={
          <Empty title="No clusters yet" action={create}>
            A cluster is one Docker Swarm: the machines your services run on.{' '}
            {!mayWrite && 'Ask an administrator to create one.'}
          </Empty>
        }
      />
      {isCreating && <CreateDialog onClose={() => setCreating(false)} />}
    </Page>
  )
}

function CreateDialog({ onClose }: { onClose: () => void }) {
  const client = useClient()
  const navigate = useNavigate()
  const [name, setName] = useState('')
  const [description, setDescription] = useState('')
  const create = useMutation({
    mutationFn: () => client.clusters.create({ body: { data: { name, description } } }),
    onSuccess: ({ id }) => void navigate({ to: '/clusters/$id', params: { id } }),
  })
  return (
    <Dialog title="Create cluster" onClose={onClose} locked={create.isPending}>
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
          autoComplete="off"
          spellCheck={false}
          placeholder="production"
          hint="Lower-case letters, digits and -"
          error={faultAt(create.error, 'data.name')}
        />
        <TextField
          label="Description"
          value={description}
          maxLength={500}
          onChange={setDescription}
          error={faultAt(create.error, 'data.description')}
        />
        <ErrorNote error={create.error} shownPaths={['data.name', 'data.description']} />
        <DialogActions>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="primary" busy={create.isPending}>
            Create cluster
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  )
}

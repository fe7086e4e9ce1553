import type { Service } from '@freehold/contracts'
import { getRouteApi, Link } from '@tanstack/react-router'
import { useDeferredValue, useMemo, useState } from 'react'
import { ListTable } from '../../app/list-table.tsx'
import { useList, wholePage } from '../../app/queries.ts'
import { useMay } from '../../app/session.ts'
import { ButtonLink } from '../../components/button.tsx'
import { Filter } from '../../components/filter.tsx'
import { PlusIcon } from '../../components/icons.tsx'
import { Empty, Page } from '../../components/page.tsx'
import { SearchField } from '../../components/search.tsx'
import { State } from '../../components/state.tsx'
import { defineColumns } from '../../components/table.tsx'
import { Ago } from '../../components/time.tsx'
import { ClusterName } from './cluster-name.tsx'

const route = getRouteApi('/shell/services')

const columns = defineColumns<Service>([
  {
    id: 'name',
    header: 'Name',
    value: ({ data }) => data.name,
    cell: ({ id, data }) => (
      <Link to="/services/$id" params={{ id }} className="font-medium hover:underline">
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
    id: 'replicas',
    header: 'Healthy',
    align: 'right',
    value: ({ status }) => status.replicas.healthy,
    cell: ({ status: { replicas } }) => (
      <span className={replicas.healthy < replicas.wanted ? 'text-warn' : ''}>
        {replicas.healthy}
        <span className="text-muted">/{replicas.wanted}</span>
      </span>
    ),
  },
  {
    id: 'version',
    header: 'Image version',
    from: 'sm',
    value: ({ data }) => data.imageVersion,
    cell: ({ data }) => (
      <code className="block max-w-44 truncate font-mono text-xs" title={data.imageVersion}>
        {data.imageVersion}
      </code>
    ),
  },
  {
    id: 'cluster',
    header: 'Cluster',
    from: 'md',
    cell: ({ data }) => <ClusterName id={data.clusterId} />,
  },
  {
    id: 'changed',
    header: 'Changed',
    from: 'lg',
    align: 'right',
    value: ({ updatedAt }) => updatedAt,
    cell: ({ updatedAt }) => (
      <span className="text-muted">
        <Ago at={updatedAt} />
      </span>
    ),
  },
])

const states = ['failed', 'degraded', 'deploying', 'waiting-for-image', 'running', 'stopped', 'unknown']

export function ServicesPage() {
  const { cluster, state } = route.useSearch()
  const navigate = route.useNavigate()
  const may = useMay()
  const [search, setSearch] = useState('')
  const wanted = useDeferredValue(search.trim())
  const clusters = useList('clusters', { limit: wholePage })
  const filters = { clusterId: cluster, state, search: wanted === '' ? undefined : wanted }
  const services = useList('services', filters)
  const isFiltered = Object.values(filters).some((value) => value !== undefined)
  const rowId = useMemo(() => (service: Service) => service.id, [])

  return (
    <Page
      title="Services"
      actions={
        may('services:write') && (
          <ButtonLink to="/services/new" search={cluster === undefined ? {} : { cluster }} look="primary">
            <PlusIcon />
            Create service
          </ButtonLink>
        )
      }
    >
      <search className="flex flex-wrap items-center gap-2">
        <SearchField label="Search services" value={search} onChange={setSearch} />
        <Filter
          label="Cluster"
          all="All clusters"
          value={cluster}
          choices={clusters.items.map(({ id, data }) => ({ value: id, label: data.name }))}
          onChange={(value) => void navigate({ search: (before) => ({ ...before, cluster: value }) as never })}
        />
        <Filter
          label="State"
          all="All states"
          value={state}
          choices={states.map((value) => ({ value, label: value.replaceAll('-', ' ') }))}
          onChange={(value) => void navigate({ search: (before) => ({ ...before, state: value }) as never })}
        />
      </search>
      <ListTable
        label="Services"
        list={services}
        rows={services.items}
        rowId={rowId}
        columns={columns}
        skeletonRows={8}
        empty={
          isFiltered ? (
            <Empty title="No service fits.">Search for a part of the name, or choose another cluster or state.</Empty>
          ) : (
            <NoServices mayCreate={may('services:write')} hasCluster={clusters.items.length > 0} />
          )
        }
      />
    </Page>
  )
}

function NoServices({ mayCreate, hasCluster }: { mayCreate: boolean; hasCluster: boolean }) {
  if (!hasCluster) {
    return (
      <Empty title="No services yet" action={<ButtonLink to="/clusters">Go to clusters</ButtonLink>}>
        A service runs on a cluster, and there is none yet. Make one first.
      </Empty>
    )
  }
  return (
    <Empty
      title="No services yet"
      action={
        mayCreate && (
          <ButtonLink to="/services/new" look="primary">
            Create service
          </ButtonLink>
        )
      }
    >
      <p>Create one here, or with the command line:</p>
      <code className="overflow-x-auto font-mono text-xs">freehold services create --name web --cluster local</code>
    </Empty>
  )
}

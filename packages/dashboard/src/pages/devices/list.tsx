import type { Device } from '@freehold/contracts'
import { getRouteApi, Link } from '@tanstack/react-router'
import { useDeferredValue, useMemo, useState } from 'react'
import { useList } from '../../app/queries.ts'
import { useMay } from '../../app/session.ts'
import { ButtonLink } from '../../components/button.tsx'
import { ErrorNote } from '../../components/error-note.tsx'
import { Filter } from '../../components/filter.tsx'
import { Empty, Page, Skeleton } from '../../components/page.tsx'
import { SearchField } from '../../components/search.tsx'
import { State, Tag } from '../../components/state.tsx'
import { defineColumns, Table } from '../../components/table.tsx'
import { Ago } from '../../components/time.tsx'
import { marksOf } from './marks.ts'
import { useHeartbeatRefresh } from './refresh.ts'

const route = getRouteApi('/shell/devices')

const columns = defineColumns<Device>([
  {
    id: 'name',
    header: 'Name',
    value: ({ data }) => data.name,
    cell: (device) => (
      <span className="flex min-w-0 flex-wrap items-center gap-x-2 gap-y-0.5">
        <Link to="/devices/$id" params={{ id: device.id }} className="font-medium break-all hover:underline">
          {device.data.name}
        </Link>
        {marksOf(device).map((mark) => (
          <Tag key={mark} tone="warn">
            {mark}
          </Tag>
        ))}
      </span>
    ),
  },
  {
    id: 'state',
    header: 'State',
    value: ({ status }) => status.state,
    cell: ({ status }) => <State state={status.state} title={status.message} />,
  },
  {
    id: 'heard',
    header: 'Heard',
    from: 'sm',
    value: ({ status }) => status.lastHeartbeatAt ?? '',
    cell: ({ status }) =>
      status.lastHeartbeatAt === null ? <span className="text-muted">never</span> : <Ago at={status.lastHeartbeatAt} />,
  },
  {
    id: 'os',
    header: 'System',
    from: 'md',
    value: ({ status }) => status.summary?.osVersion ?? '',
    cell: ({ status }) => <span className="text-muted">{status.summary?.osVersion ?? '–'}</span>,
  },
  {
    id: 'release',
    header: 'Release',
    from: 'lg',
    cell: ({ status }) => <code className="font-mono text-xs">{status.summary?.release?.slice(0, 12) ?? '–'}</code>,
  },
  {
    id: 'labels',
    header: 'Labels',
    from: 'lg',
    cell: ({ labels }) => (
      <span className="flex flex-wrap gap-1">
        {Object.entries(labels).map(([key, value]) => (
          <Tag key={key}>{`${key}=${value}`}</Tag>
        ))}
      </span>
    ),
  },
])

const states = ['waiting', 'enrolled', 'online', 'late', 'offline', 'revoked']
const attentions = [
  { value: 'approve', label: 'waiting for approval' },
  { value: 'claim', label: 'claimed by another' },
  { value: 'clone', label: 'two devices in one' },
]

/** A page of a hundred at a time; the server searches and filters, so that the size of the fleet plays no part. */
export function DevicesPage() {
  const { state, attention } = route.useSearch()
  const navigate = route.useNavigate()
  const may = useMay()
  const [search, setSearch] = useState('')
  const wanted = useDeferredValue(search.trim())
  const filters = { state, attention, search: wanted === '' ? undefined : wanted }
  const devices = useList('devices', filters)
  useHeartbeatRefresh(['devices', 'list'])
  const rowId = useMemo(() => (device: Device) => device.id, [])
  const isFiltered = Object.values(filters).some((value) => value !== undefined)
  const narrow = (change: { state?: string | undefined; attention?: string | undefined }) =>
    void navigate({ search: (before) => ({ ...before, ...change }) as never })
  return (
    <Page title="Devices" actions={may('join-tokens:read') && <ButtonLink to="/join-tokens">Join tokens</ButtonLink>}>
      <search className="flex flex-wrap items-center gap-2">
        <SearchField label="Search devices" value={search} onChange={setSearch} />
        <Filter
          label="State"
          all="All states"
          value={state}
          choices={states.map((value) => ({ value, label: value }))}
          onChange={(value) => narrow({ state: value })}
        />
        <Filter
          label="Attention"
          all="Any attention"
          value={attention}
          choices={attentions}
          onChange={(value) => narrow({ attention: value })}
        />
      </search>
      <ErrorNote error={devices.error} />
      {devices.isPending ? (
        <Skeleton rows={8} />
      ) : devices.items.length > 0 ? (
        <Table
          label="Devices"
          rows={devices.items}
          rowId={rowId}
          columns={columns}
          more={{ hasMore: devices.hasMore, isLoading: devices.isLoadingMore, load: devices.more }}
        />
      ) : isFiltered ? (
        <Empty title="No device fits.">Search for a part of the name, or choose another state.</Empty>
      ) : (
        devices.error === null && (
          <Empty
            title="No devices yet"
            action={
              may('join-tokens:write') && (
                <ButtonLink to="/join-tokens" look="primary">
                  Make a join token
                </ButtonLink>
              )
            }
          >
            A device enrols with a join token, which stands in the environment of its agent.
          </Empty>
        )
      )}
    </Page>
  )
}

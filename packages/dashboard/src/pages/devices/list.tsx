import type { Device } from '@freehold/contracts'
import { getRouteApi, Link } from '@tanstack/react-router'
import { useDeferredValue, useMemo, useState } from 'react'
import { ListTable } from '../../app/list-table.tsx'
import { useList, wholePage } from '../../app/queries.ts'
import { useMay } from '../../app/session.ts'
import { ButtonLink } from '../../components/button.tsx'
import { Filter } from '../../components/filter.tsx'
import { BadIcon } from '../../components/icons.tsx'
import { Empty, Page } from '../../components/page.tsx'
import { SearchField } from '../../components/search.tsx'
import { State, Tag } from '../../components/state.tsx'
import { defineColumns } from '../../components/table.tsx'
import { Ago } from '../../components/time.tsx'
import { nameOfRelease } from '../releases/names.tsx'
import { marksOf } from './marks.ts'
import { DevicePlaces } from './places.tsx'
import { useHeartbeatRefresh } from './refresh.ts'

const route = getRouteApi('/shell/devices')

/** `names` of releases by id; `doubles` are names that more than one of these devices has. */
const columnsOf = (names: ReadonlyMap<string, string>, doubles: ReadonlySet<string>) =>
  defineColumns<Device>([
    {
      id: 'name',
      header: 'Name',
      value: ({ data }) => data.name,
      cell: (device) => (
        <span className="flex min-w-0 flex-wrap items-center gap-x-2 gap-y-0.5">
          <Link to="/devices/$id" params={{ id: device.id }} className="font-medium wrap-anywhere hover:underline">
            {device.data.name}
          </Link>
          {doubles.has(device.data.name) && (
            <code className="font-mono text-xs text-muted" title={device.id}>
              {device.id.slice(-8)}
            </code>
          )}
          {marksOf(device).map((mark) => (
            <Tag key={mark} tone="warn">
              {mark}
            </Tag>
          ))}
          {device.status.updateFailure !== null && (
            <span
              className="flex basis-full items-center gap-1 text-xs text-bad"
              title={device.status.updateFailure.message}
            >
              <BadIcon width="12" height="12" className="shrink-0" />
              could not take {device.status.updateFailure.version}
            </span>
          )}
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
        status.lastHeartbeatAt === null ? (
          <span className="text-muted">never</span>
        ) : (
          <Ago at={status.lastHeartbeatAt} />
        ),
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
      cell: ({ status: { summary } }) => <Running release={summary?.release ?? null} names={names} />,
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
const updateFailed = 'update-failed'
const attentions = [
  { value: updateFailed, label: 'update failed' },
  { value: 'approve', label: 'to be approved' },
  { value: 'claim', label: 'claimed' },
  { value: 'clone', label: 'two devices' },
]

/** A page of a hundred at a time; the server searches and filters, so that the size of the fleet plays no part. */
export function DevicesPage() {
  const search = route.useSearch()
  const state = states.find((each) => each === search.state)
  const attention = attentions.find(({ value }) => value === search.attention)?.value
  const update = search.update === 'failed' ? 'failed' : undefined
  const navigate = route.useNavigate()
  const may = useMay()
  const [text, setText] = useState('')
  const wanted = useDeferredValue(text.trim())
  const filters = { state, attention, update, search: wanted === '' ? undefined : wanted }
  const devices = useList('devices', filters)
  const releases = useList('releases', { limit: wholePage }, { enabled: may('releases:read') })
  // As a text, so that the columns stay the same ones while only heartbeats come in.
  const doubles = JSON.stringify(doublesIn(devices.items))
  const columns = useMemo(() => {
    const names = new Map(releases.items.map((release) => [release.id, nameOfRelease(release)]))
    return columnsOf(names, new Set(JSON.parse(doubles) as string[]))
  }, [releases.items, doubles])
  useHeartbeatRefresh(['devices', 'list'])
  const rowId = useMemo(() => (device: Device) => device.id, [])
  const isFiltered = Object.values(filters).some((value) => value !== undefined)
  const narrow = (change: {
    state?: string | undefined
    attention?: string | undefined
    update?: string | undefined
  }) => void navigate({ search: (before) => ({ ...before, ...change }) as never })
  return (
    <Page title="Devices" places={<DevicePlaces />}>
      <search className="flex flex-wrap items-center gap-2">
        <SearchField label="Search devices" value={text} onChange={setText} />
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
          value={update === 'failed' ? updateFailed : attention}
          choices={attentions}
          onChange={(value) =>
            narrow(
              value === updateFailed
                ? { update: 'failed', attention: undefined }
                : { update: undefined, attention: value },
            )
          }
        />
      </search>
      <ListTable
        label="Devices"
        list={devices}
        rows={devices.items}
        rowId={rowId}
        columns={columns}
        skeletonRows={8}
        empty={
          isFiltered ? (
            <Empty title="No device fits.">Search for a part of the name, or choose another state.</Empty>
          ) : (
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
        }
      />
    </Page>
  )
}

function doublesIn(devices: readonly Device[]): string[] {
  const seen = new Set<string>()
  const doubles = new Set<string>()
  for (const { data } of devices) (seen.has(data.name) ? doubles : seen).add(data.name)
  return [...doubles]
}

/** Our release by its name; what only the Supervisor names, by the beginning of its commit. */
function Running({ release, names }: { release: string | null; names: ReadonlyMap<string, string> }) {
  if (release === null) return <span className="text-muted">–</span>
  const name = names.get(release)
  if (name !== undefined) return <span className="wrap-break-word">{name}</span>
  return <code className="font-mono text-xs">{release.slice(0, 12)}</code>
}

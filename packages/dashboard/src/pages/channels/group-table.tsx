import type { DeviceGroup } from '@freehold/contracts'
import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { useMemo, useState } from 'react'
import { useClient } from '../../app/client.tsx'
import { Button } from '../../components/button.tsx'
import { ActionsMenu, MenuItem, MenuSeparator } from '../../components/menu.tsx'
import { Tag } from '../../components/state.tsx'
import { defineColumns, Table } from '../../components/table.tsx'
import { useHeartbeatRefresh } from '../devices/refresh.ts'
import { ChannelName, ReleaseLink } from '../releases/names.tsx'
import { MembersDialog } from './members.tsx'

export interface GroupChoice {
  group: DeviceGroup
  act: 'edit' | 'delete'
}
type Choose = ((choice: GroupChoice) => void) | null
const rowId = ({ id }: DeviceGroup) => id

export function GroupTable({ groups, onChoose }: { groups: DeviceGroup[]; onChoose: Choose }) {
  const [looked, setLooked] = useState<DeviceGroup | null>(null)
  // Who belongs to a group is decided by all groups together, so that a change of any of them counts them anew.
  const version = Math.max(...groups.map((group) => group.version))
  const columns = useMemo(() => columnsOf({ onChoose, onLook: setLooked, version }), [onChoose, version])
  useHeartbeatRefresh(['deviceGroups', 'members'])
  return (
    <>
      <Table label="Device groups" rows={groups} rowId={rowId} columns={columns} />
      {looked !== null && <MembersDialog group={looked} onClose={() => setLooked(null)} />}
    </>
  )
}

function columnsOf(options: { onChoose: Choose; onLook: (group: DeviceGroup) => void; version: number }) {
  const { onChoose, onLook, version } = options
  return defineColumns<DeviceGroup>([
    {
      id: 'name',
      header: 'Name',
      value: ({ data }) => data.name,
      cell: ({ data }) => (
        <span className="flex min-w-0 flex-col">
          <span className="font-medium wrap-anywhere">{data.name}</span>
          {data.description !== '' && <span className="text-xs text-muted">{data.description}</span>}
        </span>
      ),
    },
    { id: 'selector', header: 'Selects', from: 'sm', cell: ({ data }) => <Selector selector={data.selector} /> },
    {
      id: 'priority',
      header: 'Priority',
      from: 'md',
      align: 'right',
      value: ({ data }) => data.priority,
      cell: ({ data }) => data.priority,
    },
    {
      id: 'members',
      header: 'Devices',
      align: 'right',
      cell: (group) => <MemberCount group={group} version={version} onLook={onLook} />,
    },
    { id: 'follows', header: 'Runs', cell: (group) => <Follows group={group} /> },
    {
      id: 'actions',
      header: 'Actions',
      align: 'right',
      cell: (group) =>
        onChoose !== null && (
          <ActionsMenu label={`Actions for ${group.data.name}`}>
            <MenuItem onSelect={() => onChoose({ group, act: 'edit' })}>Edit</MenuItem>
            <MenuSeparator />
            <MenuItem danger onSelect={() => onChoose({ group, act: 'delete' })}>
              Delete group
            </MenuItem>
          </ActionsMenu>
        ),
    },
  ])
}

function Selector({ selector }: { selector: Record<string, string> }) {
  const labels = Object.entries(selector)
  if (labels.length === 0) return <span className="text-muted">every device</span>
  return (
    <span className="flex flex-wrap gap-1">
      {labels.map(([key, value]) => (
        <Tag key={key}>{`${key}=${value}`}</Tag>
      ))}
    </span>
  )
}

function MemberCount(props: { group: DeviceGroup; version: number; onLook: (group: DeviceGroup) => void }) {
  const { group, version, onLook } = props
  const client = useClient()
  const members = useQuery({
    queryKey: ['deviceGroups', 'members', group.id, version],
    placeholderData: keepPreviousData,
    queryFn: ({ signal }) => client.deviceGroups.members({ params: { id: group.id }, signal }),
  })
  if (members.data === undefined) return <span className="text-muted">{members.error === null ? '…' : '–'}</span>
  const { count } = members.data
  return (
    <Button look="quiet" aria-label={`${count} devices of ${group.data.name}`} onClick={() => onLook(group)}>
      {count.toLocaleString('en')}
    </Button>
  )
}

function Follows({ group: { data } }: { group: DeviceGroup }) {
  const { appChannelId, hostChannelId, pinnedAppReleaseId, pinnedHostReleaseId } = data
  if ([appChannelId, hostChannelId, pinnedAppReleaseId, pinnedHostReleaseId].every((id) => id === null)) {
    return <span className="text-muted">nothing of ours</span>
  }
  return (
    <span className="flex flex-col gap-0.5 py-1">
      <Half channelId={appChannelId} pinId={pinnedAppReleaseId} />
      <Half channelId={hostChannelId} pinId={pinnedHostReleaseId} />
    </span>
  )
}

function Half({ channelId, pinId }: { channelId: string | null; pinId: string | null }) {
  if (pinId !== null) {
    return (
      <span className="flex flex-wrap items-center gap-x-1.5">
        <ReleaseLink id={pinId} /> <Tag tone="warn">pinned</Tag>
      </span>
    )
  }
  return (
    channelId !== null && (
      <span>
        what <ChannelName id={channelId} /> carries
      </span>
    )
  )
}

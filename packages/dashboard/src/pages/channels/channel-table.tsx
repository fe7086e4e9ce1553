import type { Channel } from '@freehold/contracts'
import { Link } from '@tanstack/react-router'
import { useMemo } from 'react'
import { ButtonLink } from '../../components/button.tsx'
import { ActionsMenu, MenuItem, MenuSeparator } from '../../components/menu.tsx'
import { defineColumns, Table } from '../../components/table.tsx'
import { Ago } from '../../components/time.tsx'
import { typeWords } from '../releases/list.tsx'
import { ReleaseLink } from '../releases/names.tsx'

export interface ChannelChoice {
  channel: Channel
  act: 'edit' | 'delete'
}
type Choose = ((choice: ChannelChoice) => void) | null
const rowId = ({ id }: Channel) => id

export function ChannelTable({ channels, onChoose }: { channels: Channel[]; onChoose: Choose }) {
  const columns = useMemo(() => columnsOf(onChoose), [onChoose])
  return <Table label="Channels" rows={channels} rowId={rowId} columns={columns} />
}

function columnsOf(onChoose: Choose) {
  return defineColumns<Channel>([
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
    {
      id: 'type',
      header: 'Type',
      from: 'sm',
      value: ({ data }) => data.type,
      cell: ({ data }) => typeWords[data.type],
    },
    { id: 'release', header: 'Carries', cell: (channel) => <Carried channel={channel} /> },
    {
      id: 'since',
      header: 'Since',
      from: 'md',
      value: ({ status }) => status.since ?? '',
      cell: ({ status }) => (
        <span className="text-muted">{status.since === null ? '–' : <Ago at={status.since} />}</span>
      ),
    },
    {
      id: 'actions',
      header: 'Actions',
      align: 'right',
      cell: (channel) =>
        onChoose !== null && (
          <span className="flex justify-end gap-1">
            <ButtonLink
              to="/release-rollouts/new"
              search={{ channel: channel.id }}
              aria-label={`Roll out to ${channel.data.name}`}
              className="max-sm:hidden"
            >
              Roll out
            </ButtonLink>
            <ActionsMenu label={`Actions for ${channel.data.name}`}>
              <MenuItem onSelect={() => onChoose({ channel, act: 'edit' })}>Edit</MenuItem>
              <MenuSeparator />
              <MenuItem danger onSelect={() => onChoose({ channel, act: 'delete' })}>
                Delete channel
              </MenuItem>
            </ActionsMenu>
          </span>
        ),
    },
  ])
}

function Carried({ channel: { status } }: { channel: Channel }) {
  return (
    <span className="flex flex-col">
      {status.releaseId === null ? (
        <span className="text-muted">nothing yet</span>
      ) : (
        <ReleaseLink id={status.releaseId} />
      )}
      {status.rolloutId !== null && (
        <Link
          to="/release-rollouts/$id"
          params={{ id: status.rolloutId }}
          className="text-xs text-accent hover:underline"
        >
          a rollout is under way
        </Link>
      )}
    </span>
  )
}

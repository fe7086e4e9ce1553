import type { Output } from '@freehold/client'
import { type MemberState, memberStates, type ReleaseRollout, type Routes } from '@freehold/contracts'
import { useInfiniteQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { useEffect, useMemo } from 'react'
import { useClient } from '../../app/client.tsx'
import { ErrorNote } from '../../components/error-note.tsx'
import { Filter } from '../../components/filter.tsx'
import { Quiet, Section, Skeleton } from '../../components/page.tsx'
import { State } from '../../components/state.tsx'
import { defineColumns, Table } from '../../components/table.tsx'
import { Ago } from '../../components/time.tsx'
import { memberWords } from './member-states.ts'

type Member = Output<Routes['releaseRollouts']['members']>['items'][number]
const rowId = ({ deviceId }: Member) => deviceId
const pageRows = 100

const columns = defineColumns<Member>([
  {
    id: 'name',
    header: 'Device',
    value: ({ name }) => name,
    cell: ({ deviceId, name }) => (
      <Link to="/devices/$id" params={{ id: deviceId }} className="font-medium wrap-anywhere hover:underline">
        {name}
      </Link>
    ),
  },
  {
    id: 'state',
    header: 'State',
    value: ({ state }) => state,
    cell: ({ state }) => <State state={state} label={capital(memberWords[state])} />,
  },
  {
    id: 'phase',
    header: 'Phase',
    align: 'right',
    from: 'sm',
    value: ({ phase }) => phase,
    cell: ({ phase }) => phase + 1,
  },
  {
    id: 'message',
    header: 'What it says',
    from: 'md',
    cell: ({ message }) => <span className="text-muted [overflow-wrap:anywhere]">{message || '–'}</span>,
  },
  {
    id: 'at',
    header: 'Heard',
    align: 'right',
    from: 'sm',
    value: ({ at }) => at ?? '',
    cell: ({ at }) => <span className="text-muted">{at === null ? '–' : <Ago at={at} />}</span>,
  },
])

/** Who is in the rollout and where each stands; read again whenever the rollout's counts change. */
export function Members(props: {
  rollout: ReleaseRollout
  state: MemberState | undefined
  onState: (state: string | undefined) => void
}) {
  const { rollout, state, onState } = props
  const { id, version } = rollout
  const client = useClient()
  const members = useInfiniteQuery({
    queryKey: ['releaseRollouts', 'members', id, state],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam, signal }) =>
      client.releaseRollouts.members({
        params: { id },
        query: {
          limit: pageRows,
          ...(pageParam === undefined ? {} : { cursor: pageParam }),
          ...(state === undefined ? {} : { state }),
        },
        signal,
      }),
    getNextPageParam: (page) => page.nextCursor ?? undefined,
  })
  const { refetch } = members
  // biome-ignore lint/correctness/useExhaustiveDependencies: another version of the rollout is why it is read again.
  useEffect(() => void refetch({ cancelRefetch: false }), [version, refetch])
  const rows = useMemo(() => members.data?.pages.flatMap(({ items }) => items) ?? [], [members.data])
  const { counts } = rollout.status
  return (
    <Section
      title="Devices"
      flush
      actions={
        <Filter
          label="State of devices"
          all={`All states (${rollout.data.memberCount.toLocaleString('en')})`}
          value={state}
          choices={memberStates.map((value) => ({
            value,
            label: `${capital(memberWords[value])} (${counts[value].toLocaleString('en')})`,
          }))}
          onChange={onState}
        />
      }
    >
      <ErrorNote error={members.error} />
      {members.isPending ? (
        <Skeleton rows={4} />
      ) : rows.length === 0 ? (
        <Quiet>{state === undefined ? 'It has no devices.' : 'No device is in this state.'}</Quiet>
      ) : (
        <Table
          label="Devices of the rollout"
          rows={rows}
          rowId={rowId}
          columns={columns}
          more={{
            hasMore: members.hasNextPage,
            isLoading: members.isFetchingNextPage,
            load: () => void members.fetchNextPage(),
          }}
        />
      )}
    </Section>
  )
}

function capital(words: string): string {
  return words.charAt(0).toUpperCase() + words.slice(1)
}

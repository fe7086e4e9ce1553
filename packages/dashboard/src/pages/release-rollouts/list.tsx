import { isOpenRollout, type ReleaseRollout } from '@freehold/contracts'
import { Link } from '@tanstack/react-router'
import { ListTable } from '../../app/list-table.tsx'
import { useList } from '../../app/queries.ts'
import { useMay } from '../../app/session.ts'
import { ButtonLink } from '../../components/button.tsx'
import { PlusIcon } from '../../components/icons.tsx'
import { Empty, Page } from '../../components/page.tsx'
import { defineColumns } from '../../components/table.tsx'
import { Ago } from '../../components/time.tsx'
import { DevicePlaces } from '../devices/places.tsx'
import { ChannelName, ReleaseLink } from '../releases/names.tsx'
import { MemberBar } from './member-bar.tsx'
import { RolloutState } from './rollout-state.tsx'

const rowId = ({ id }: ReleaseRollout) => id

const columns = defineColumns<ReleaseRollout>([
  {
    id: 'rollout',
    header: 'Rollout',
    cell: ({ id, data }) => (
      <span className="flex flex-col">
        <Link to="/release-rollouts/$id" params={{ id }} className="font-medium wrap-anywhere hover:underline">
          To <ChannelName id={data.channelId} />
        </Link>
        <span className="text-xs text-muted">
          <ReleaseLink id={data.releaseId} />
        </span>
      </span>
    ),
  },
  {
    id: 'state',
    header: 'State',
    value: ({ status }) => status.state,
    cell: ({ data, status }) => (
      <span className="flex flex-col items-start gap-0.5">
        <RolloutState status={status} />
        <span className="text-xs text-muted sm:hidden">
          {status.counts.succeeded.toLocaleString('en')} of {data.memberCount.toLocaleString('en')}
          {failedText(status.counts)}
        </span>
      </span>
    ),
  },
  {
    id: 'progress',
    header: 'Devices',
    from: 'sm',
    cell: ({ data, status }) => (
      <span className="flex min-w-36 flex-col gap-1">
        <span className="text-xs">
          {status.counts.succeeded.toLocaleString('en')}
          <span className="text-muted">
            {' '}
            of {data.memberCount.toLocaleString('en')} succeeded{failedText(status.counts)}
          </span>
        </span>
        {data.memberCount > 0 && <MemberBar counts={status.counts} className="h-1.5" />}
      </span>
    ),
  },
  {
    id: 'phase',
    header: 'Phase',
    from: 'md',
    align: 'right',
    cell: ({ status }) =>
      isOpenRollout(status) ? `${status.phase + 1} of ${Math.max(1, status.phases.length)}` : <span>–</span>,
  },
  {
    id: 'began',
    header: 'Began',
    from: 'md',
    align: 'right',
    value: ({ createdAt }) => createdAt,
    cell: ({ createdAt }) => (
      <span className="text-muted">
        <Ago at={createdAt} />
      </span>
    ),
  },
])

function failedText(counts: ReleaseRollout['status']['counts']): string {
  const failed = counts.failed + counts['rolled-back']
  return failed === 0 ? '' : `, ${failed.toLocaleString('en')} failed`
}

/** What changed last first: what is under way stands above what is over. */
export function ReleaseRolloutsPage() {
  const mayWrite = useMay()('releases:write')
  const rollouts = useList('releaseRollouts', { order: 'changed' })
  const releases = useList('releases', { limit: 1 })
  const channels = useList('channels', { limit: 1 })
  const isReady = releases.items.length > 0 && channels.items.length > 0
  return (
    <Page
      title="Rollouts"
      places={<DevicePlaces />}
      lead={<p>Each brings a release to the devices of a channel, phase by phase.</p>}
      actions={
        mayWrite &&
        isReady && (
          <ButtonLink to="/release-rollouts/new" look="primary">
            <PlusIcon />
            Begin rollout
          </ButtonLink>
        )
      }
    >
      <ListTable
        label="Rollouts"
        list={rollouts}
        rows={rollouts.items}
        isPending={rollouts.isPending || releases.isPending || channels.isPending}
        rowId={rowId}
        columns={columns}
        skeletonRows={4}
        empty={
          <NoRollouts
            mayWrite={mayWrite}
            hasRelease={releases.items.length > 0}
            hasChannel={channels.items.length > 0}
          />
        }
      />
    </Page>
  )
}

function NoRollouts(props: { mayWrite: boolean; hasRelease: boolean; hasChannel: boolean }) {
  const { mayWrite, hasRelease, hasChannel } = props
  const link = !hasRelease ? (
    <ButtonLink to="/releases">Go to releases</ButtonLink>
  ) : !hasChannel ? (
    <ButtonLink to="/channels">Go to channels</ButtonLink>
  ) : (
    <ButtonLink to="/release-rollouts/new" look="primary">
      Begin a rollout
    </ButtonLink>
  )
  return (
    <Empty title="No rollouts yet" action={mayWrite && link}>
      {!hasRelease
        ? 'A rollout brings a release to devices. Make a release first.'
        : !hasChannel
          ? 'A rollout goes to the devices of a channel. Make a channel, and a group that follows it.'
          : 'Nothing reaches a device by itself: begin one.'}
    </Empty>
  )
}

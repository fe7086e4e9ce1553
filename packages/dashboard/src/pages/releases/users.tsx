import type { Release } from '@freehold/contracts'
import { Link } from '@tanstack/react-router'
import type { ReactNode } from 'react'
import { useList, wholePage } from '../../app/queries.ts'
import { Quiet, Section, Skeleton } from '../../components/page.tsx'
import { Tag } from '../../components/state.tsx'
import { Ago } from '../../components/time.tsx'
import { RolloutState } from '../release-rollouts/rollout-state.tsx'
import { ChannelName } from './names.tsx'

/** Channels that carry a release, groups pinned to it, and the rollouts that brought it or do so now. */
export function ReleaseUsers({ release: { id } }: { release: Release }) {
  const channels = useList('channels', { limit: wholePage })
  const groups = useList('deviceGroups', { limit: wholePage })
  const rollouts = useList('releaseRollouts', { releaseId: id })
  if (channels.isPending || groups.isPending || rollouts.isPending) return <Skeleton rows={2} />
  const carrying = channels.items.filter(({ status }) => status.releaseId === id)
  const pinned = groups.items.filter(({ data }) => data.pinnedAppReleaseId === id || data.pinnedHostReleaseId === id)
  if (carrying.length + pinned.length + rollouts.items.length === 0) {
    return (
      <Section title="Who uses it" flush>
        <Quiet>No channel carries it, no group is pinned to it, and it was never rolled out.</Quiet>
      </Section>
    )
  }
  return (
    <Section title="Who uses it" flush>
      <ul className="divide-y divide-line overflow-hidden rounded-lg border border-line bg-surface text-sm">
        {carrying.map((channel) => (
          <Use key={channel.id} what="Channel">
            <Link to="/channels" className="font-medium hover:underline">
              {channel.data.name}
            </Link>
            <Tag tone="good">carries it</Tag>
          </Use>
        ))}
        {pinned.map((group) => (
          <Use key={group.id} what="Group">
            <Link to="/channels" className="font-medium hover:underline">
              {group.data.name}
            </Link>
            <Tag tone="moving">pinned to it</Tag>
          </Use>
        ))}
        {rollouts.items.toReversed().map((rollout) => (
          <Use key={rollout.id} what="Rollout">
            <Link to="/release-rollouts/$id" params={{ id: rollout.id }} className="font-medium hover:underline">
              to <ChannelName id={rollout.data.channelId} />
            </Link>
            <RolloutState status={rollout.status} />
            <span className="text-xs text-muted">
              began <Ago at={rollout.createdAt} />
            </span>
          </Use>
        ))}
      </ul>
    </Section>
  )
}

function Use({ what, children }: { what: string; children: ReactNode }) {
  return (
    <li className="flex flex-wrap items-center gap-x-3 gap-y-1 px-4 py-2">
      <span className="w-16 text-xs text-muted">{what}</span>
      {children}
    </li>
  )
}

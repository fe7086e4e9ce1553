import type { Service } from '@freehold/contracts'
import { useList, useOne, wholePage } from '../../app/queries.ts'
import { useMay } from '../../app/session.ts'
import { OpenIcon } from '../../components/icons.tsx'
import { reachableAt } from './reach.ts'

const shownLinks = 8
/** What the control plane calls the cluster of its own machine. */
const localCluster = 'local'

/** Links to what runs, for each TCP port the revision that serves publishes. */
export function ReachLinks({ service }: { service: Service }) {
  const { clusterId } = service.data
  const { currentRevisionId, tasks } = service.status
  const may = useMay()
  const { data: revision } = useOne('revisions', currentRevisionId)
  const { data: cluster } = useOne('clusters', clusterId)
  const nodes = useList('nodes', { clusterId, limit: wholePage }, { enabled: may('nodes:read') })
  const ports = revision?.data.spec.ports ?? []
  if (ports.length === 0 || currentRevisionId === null) return 'No published port'
  const urls = reachableAt({
    ports,
    revisionId: currentRevisionId,
    tasks,
    nodes: nodes.items,
    isLocal: cluster?.data.name === localCluster && cluster.status.swarmNodes.length <= 1,
    ownHost: window.location.hostname,
  })
  if (urls.length === 0) return 'Nowhere now'
  return (
    <ul className="flex flex-col gap-1">
      {urls.slice(0, shownLinks).map((url) => (
        <li key={url}>
          <a
            href={url}
            target="_blank"
            rel="noreferrer"
            className="inline-flex max-w-full items-center gap-1 text-accent hover:underline"
          >
            <span className="min-w-0 break-all">{url.slice('http://'.length, -1)}</span>
            <OpenIcon width="12" height="12" />
            <span className="sr-only">(opens in a new tab)</span>
          </a>
        </li>
      ))}
      {urls.length > shownLinks && <li className="text-muted">and {urls.length - shownLinks} more</li>}
    </ul>
  )
}

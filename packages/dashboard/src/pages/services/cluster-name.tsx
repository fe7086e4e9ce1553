import { Link } from '@tanstack/react-router'
import { useList, wholePage } from '../../app/queries.ts'

/** The name of a cluster, leading to its page; all of a page share one request. */
export function ClusterName({ id }: { id: string }) {
  const clusters = useList('clusters', { limit: wholePage })
  const cluster = clusters.items.find((item) => item.id === id)
  return (
    <Link to="/clusters/$id" params={{ id }} className="hover:underline">
      {cluster?.data.name ?? '…'}
    </Link>
  )
}

import type { Release } from '@freehold/contracts'
import { Link } from '@tanstack/react-router'
import { useOne } from '../../app/queries.ts'

/** As people name it, and the command line takes it: `shop/1.4.0`, `baseos/raspberrypi4-64/2.0.0`. */
export function nameOfRelease({ data }: Pick<Release, 'data'>): string {
  return [data.product, data.host?.deviceType, data.version].filter((part) => part !== undefined).join('/')
}

/** A link to a release by its id. */
export function ReleaseLink({ id, fallback }: { id: string; fallback?: string }) {
  const release = useOne('releases', id)
  const name = release.data ? nameOfRelease(release.data) : (fallback ?? id.slice(0, 8))
  if (release.data === null || release.error !== null) return <span className="wrap-anywhere">{name}</span>
  return (
    <Link to="/releases/$id" params={{ id }} className="wrap-anywhere hover:underline">
      {name}
    </Link>
  )
}

export function ChannelName({ id }: { id: string }) {
  const channel = useOne('channels', id)
  return <>{channel.data?.data.name ?? (channel.isPending ? '…' : 'a channel that was deleted')}</>
}

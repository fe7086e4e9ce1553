import { Link } from '@tanstack/react-router'
import { useEffect, useRef } from 'react'
import { useMay } from '../../app/session.ts'

const places = [
  { to: '/devices', label: 'Devices', needs: 'devices:read' },
  { to: '/releases', label: 'Releases', needs: 'releases:read' },
  { to: '/release-rollouts', label: 'Rollouts', needs: 'releases:read' },
  { to: '/channels', label: 'Channels & groups', needs: 'releases:read' },
  { to: '/join-tokens', label: 'Join tokens', needs: 'join-tokens:read' },
  { to: '/signed-updates', label: 'Signed updates', needs: 'releases:read' },
] as const

/** Everything about devices, above the title of each of its lists. */
export function DevicePlaces() {
  const may = useMay()
  const ref = useRef<HTMLElement>(null)
  useEffect(() => {
    ref.current?.querySelector('[aria-current=page]')?.scrollIntoView({ block: 'nearest', inline: 'nearest' })
  }, [])
  return (
    <nav ref={ref} aria-label="Devices" className="flex gap-1 overflow-x-auto overflow-y-hidden border-b border-line">
      {places
        .filter(({ needs }) => may(needs))
        .map(({ to, label }) => (
          <Link
            key={to}
            to={to}
            activeOptions={{ exact: true }}
            className="flex h-9 items-center border-b-2 border-transparent px-3 text-sm font-medium whitespace-nowrap text-muted hover:text-ink focus-visible:-outline-offset-2 aria-[current=page]:border-accent aria-[current=page]:text-ink"
          >
            {label}
          </Link>
        ))}
    </nav>
  )
}

import { Link } from '@tanstack/react-router'

const places = [
  { to: '/builds', label: 'Builds' },
  { to: '/base-images', label: 'Base images' },
  { to: '/build-workers', label: 'Build workers' },
] as const

/** Everything about images for devices, above the title of each of its lists. */
export function BuildPlaces() {
  return (
    <nav aria-label="Builds" className="flex gap-1 overflow-x-auto overflow-y-hidden border-b border-line">
      {places.map(({ to, label }) => (
        <Link
          key={to}
          to={to}
          activeOptions={{ exact: true, includeSearch: false }}
          className="flex h-9 items-center border-b-2 border-transparent px-3 text-sm font-medium whitespace-nowrap text-muted hover:text-ink focus-visible:-outline-offset-2 aria-[current=page]:border-accent aria-[current=page]:text-ink"
        >
          {label}
        </Link>
      ))}
    </nav>
  )
}

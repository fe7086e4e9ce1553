import type { Cluster } from '@freehold/contracts'
import { Quiet } from './page.tsx'
import { Ago } from './time.tsx'

/** What was changed by hand and what the agent did about it, newest first. */
export function Drift({ entries }: { entries: Cluster['status']['drift'] }) {
  if (entries.length === 0) return <Quiet>Nothing was changed by hand.</Quiet>
  return (
    <ul className="divide-y divide-line rounded-lg border border-line bg-surface">
      {entries.map((entry) => (
        <li
          key={`${entry.at} ${entry.found}`}
          className="flex flex-wrap items-baseline gap-x-4 gap-y-0.5 px-4 py-2.5 text-sm"
        >
          <span className="min-w-0 flex-1 basis-64">
            {entry.found} <span className="text-muted">{entry.mended}</span>
          </span>
          <span className="text-xs text-muted">
            <Ago at={entry.at} />
          </span>
        </li>
      ))}
    </ul>
  )
}

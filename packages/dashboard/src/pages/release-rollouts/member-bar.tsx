import type { MemberCounts, MemberState } from '@freehold/contracts'
import { barOrder, baseOf, failuresOf, memberWords } from './member-states.ts'

const fills: Record<MemberState, string> = {
  succeeded: 'fill-good',
  soaking: 'fill-accent opacity-85',
  applying: 'fill-accent opacity-65',
  downloading: 'fill-accent opacity-45',
  staged: 'fill-accent opacity-25',
  waiting: 'fill-line',
  left: 'fill-transparent',
  'rolled-back': 'fill-warn',
  failed: 'fill-bad',
}
const dots: Record<MemberState, string> = {
  succeeded: 'bg-good',
  soaking: 'bg-accent opacity-85',
  applying: 'bg-accent opacity-65',
  downloading: 'bg-accent opacity-45',
  staged: 'bg-accent opacity-25',
  waiting: 'bg-line-strong opacity-60',
  left: 'border border-line-strong',
  'rolled-back': 'bg-warn',
  failed: 'bg-bad',
}
const width = 1000

/** How many devices are in which state, as a bar; what it shows stands in words beside it, or is its name. */
export function MemberBar(props: { counts: MemberCounts; mark?: number | undefined; className?: string }) {
  const { counts, mark, className = 'h-4' } = props
  const all = baseOf(counts) + counts.left
  if (all === 0) return null
  let at = 0
  const parts = barOrder
    .filter((state) => counts[state] > 0)
    .map((state) => {
      const from = at
      at += counts[state]
      return { state, x: (from / all) * width, size: (counts[state] / all) * width }
    })
  return (
    <svg
      viewBox={`0 0 ${width} 16`}
      preserveAspectRatio="none"
      role="img"
      aria-label={sayingOf(counts)}
      className={`w-full overflow-hidden rounded bg-sunken ${className}`}
    >
      {parts.map(({ state, x, size }) => (
        <rect key={state} x={x} y="0" width={size} height="16" className={fills[state]} />
      ))}
      {mark !== undefined && (
        <line
          x1={mark * width}
          x2={mark * width}
          y1="0"
          y2="16"
          vectorEffect="non-scaling-stroke"
          strokeWidth="2"
          strokeDasharray="3 2"
          className="stroke-ink"
        />
      )}
    </svg>
  )
}

/** The counts in words, each with the colour of its part of the bar. */
export function MemberLegend({ counts }: { counts: MemberCounts }) {
  const all = baseOf(counts) + counts.left
  if (all === 0) return <p className="text-xs text-muted">It has no devices.</p>
  return (
    <ul className="flex flex-wrap gap-x-4 gap-y-1 text-xs">
      {barOrder
        .filter((state) => counts[state] > 0)
        .map((state) => (
          <li key={state} className="flex items-center gap-1.5">
            <span aria-hidden="true" className={`size-2.5 rounded-sm ${dots[state]}`} />
            <span>
              <span className="font-medium">{counts[state].toLocaleString('en')}</span> {memberWords[state]}
            </span>
          </li>
        ))}
    </ul>
  )
}

function sayingOf(counts: MemberCounts): string {
  const failed = failuresOf(counts)
  const said = `${counts.succeeded} of ${baseOf(counts)} devices succeeded`
  return failed === 0 ? said : `${said}, ${failed} failed`
}

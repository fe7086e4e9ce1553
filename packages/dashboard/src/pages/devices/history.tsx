import type { DeviceSpan } from '@freehold/contracts'
import { Quiet } from '../../components/page.tsx'

const lines = [
  { name: 'Load', unit: '', valueOf: (span: DeviceSpan) => span.load, least: 1 },
  { name: 'Memory', unit: ' %', valueOf: (span: DeviceSpan) => span.memoryPercent, least: 100 },
  { name: 'Storage', unit: ' %', valueOf: (span: DeviceSpan) => span.storagePercent, least: 100 },
  { name: 'Temperature', unit: ' °C', valueOf: (span: DeviceSpan) => span.temperatureCelsius, least: 80 },
] as const

const width = 240
const height = 40
const dayMs = 86_400_000

/** Small graphs, one a value: the day above, the month below. Gaps are times in which nothing was heard. */
export function History({ day, month }: { day: DeviceSpan[]; month: DeviceSpan[] }) {
  if (day.length === 0 && month.length === 0)
    return <Quiet>Nothing yet: it is written down every quarter of an hour.</Quiet>
  return (
    <div className="grid gap-3 sm:grid-cols-2 xl:grid-cols-4">
      {lines.map((line) => (
        <figure key={line.name} className="flex min-w-0 flex-col gap-2 rounded-lg border border-line bg-surface p-3">
          <figcaption className="flex justify-between text-xs text-muted">
            {line.name}
            <span className="font-medium text-ink">{newest(day.at(-1) ?? month.at(-1), line)}</span>
          </figcaption>
          <Graph spans={day} line={line} rangeMs={dayMs} stepMs={dayMs / 96} over="last day" />
          <Graph spans={month} line={line} rangeMs={30 * dayMs} stepMs={dayMs / 4} over="last month" />
        </figure>
      ))}
    </div>
  )
}

type Line = (typeof lines)[number]

function newest(span: DeviceSpan | undefined, line: Line): string {
  const value = span === undefined ? null : line.valueOf(span)
  return value === null ? '–' : `${rounded(value)}${line.unit}`
}

function Graph(props: { spans: DeviceSpan[]; line: Line; rangeMs: number; stepMs: number; over: string }) {
  const { spans, line, rangeMs, stepMs, over } = props
  const points = spans.flatMap((span) => {
    const value = line.valueOf(span)
    return value === null ? [] : [{ atMs: Date.parse(span.at), value }]
  })
  const most = Math.max(line.least, ...points.map(({ value }) => value))
  const endMs = Math.max(Date.now(), ...points.map(({ atMs }) => atMs + stepMs))
  const x = (atMs: number) => width - ((endMs - atMs) / rangeMs) * width
  const y = (value: number) => height - 2 - (Math.max(0, value) / most) * (height - 4)
  const values = points.map(({ value }) => value)
  const reach = values.length === 0 ? 'nothing heard' : reachOf(values, line.unit)
  return (
    <div className="flex flex-col gap-0.5">
      <p aria-hidden="true" className="flex justify-between gap-2 text-2xs text-muted">
        <span>{over}</span>
        <span>{reach}</span>
      </p>
      <svg
        viewBox={`0 0 ${width} ${height}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`${line.name}, ${over}: ${reach}`}
        className="h-10 w-full rounded bg-sunken"
      >
        {points.map(({ atMs, value }, index) => {
          const before = points[index - 1]
          const joins = before !== undefined && atMs - before.atMs <= stepMs
          const to = x(Math.min(endMs, atMs + (joins ? 0 : stepMs)))
          return (
            <line
              key={atMs}
              x1={joins ? x(before.atMs) : x(atMs)}
              y1={y(joins ? before.value : value)}
              x2={to}
              y2={y(value)}
              vectorEffect="non-scaling-stroke"
              className="stroke-accent"
              strokeWidth="1.5"
            />
          )
        })}
      </svg>
    </div>
  )
}

/** `40 to 61 %`; one number where nothing changed. */
function reachOf(values: readonly number[], unit: string): string {
  const [least, most] = [rounded(Math.min(...values)), rounded(Math.max(...values))]
  return least === most ? `${least}${unit}` : `${least} to ${most}${unit}`
}

function rounded(value: number): number {
  return Math.round(value * 10) / 10
}

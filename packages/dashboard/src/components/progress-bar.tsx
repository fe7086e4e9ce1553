import { bytes } from './format.ts'

/** How far something is, in bytes; without a total only how much. */
export function ProgressBar(props: { label: string; doneBytes: number; totalBytes: number | null }) {
  const { label, doneBytes, totalBytes } = props
  const part = totalBytes === null || totalBytes <= 0 ? null : Math.min(1, doneBytes / totalBytes)
  const percent = part === null ? undefined : Math.floor(part * 100)
  return (
    <div className="flex flex-col gap-1">
      <div
        role="progressbar"
        aria-label={label}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={percent}
        aria-valuetext={sayingOf(doneBytes, totalBytes, percent)}
        className="h-2 overflow-hidden rounded-full bg-sunken"
      >
        <svg viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true" className="size-full">
          <rect
            width={part === null ? 100 : part * 100}
            height="4"
            className={part === null ? 'animate-pulse fill-accent opacity-40' : 'fill-accent'}
          />
        </svg>
      </div>
      <p className="text-xs text-muted" aria-hidden="true">
        {sayingOf(doneBytes, totalBytes, percent)}
      </p>
    </div>
  )
}

function sayingOf(doneBytes: number, totalBytes: number | null, percent: number | undefined): string {
  if (totalBytes === null || percent === undefined) return doneBytes > 0 ? bytes(doneBytes) : 'Under way'
  return `${percent} %, ${bytes(doneBytes)} of ${bytes(totalBytes)}`
}

import { ApiError } from '@freehold/client'
import { Button } from './button.tsx'
import { BadIcon } from './icons.tsx'

/** What went wrong and what to do about it. `shownPaths`: faults that stand beside their fields already. */
export function ErrorNote(props: { error: unknown; shownPaths?: readonly string[]; onRetry?: () => void }) {
  const { error, shownPaths = [], onRetry } = props
  if (error === null || error === undefined) return null
  const known = error instanceof ApiError ? error : null
  const rest = known?.details.filter(({ path }) => !shownPaths.some((shown) => covers(shown, path))) ?? []
  return (
    <div role="alert" className="flex gap-2 rounded-md border border-bad/40 bg-bad-soft px-3 py-2 text-sm">
      <BadIcon className="mt-0.5 text-bad" />
      <div className="flex min-w-0 flex-1 flex-col gap-0.5">
        <p className="font-medium">{known?.message ?? 'The dashboard failed at this.'}</p>
        <p className="text-muted">{known?.action ?? messageOf(error)}</p>
        {rest.length > 0 && (
          <ul className="list-disc pl-4">
            {rest.map((detail) => (
              <li key={`${detail.path} ${detail.message}`}>
                {detail.path !== '' && <code className="font-mono text-xs">{detail.path}</code>} {detail.message}
              </li>
            ))}
          </ul>
        )}
        {known?.code === 'internal' && known.requestId !== null && (
          <p className="text-muted">
            Request id <code className="font-mono text-xs">{known.requestId}</code>
          </p>
        )}
        {onRetry !== undefined && (
          <div className="pt-1">
            <Button onClick={onRetry}>Try again</Button>
          </div>
        )}
      </div>
    </div>
  )
}

/** The fault of one field, for its `error`; `path` as the contract writes it (`data.ports.web`). */
export function faultAt(error: unknown, path: string): string | undefined {
  if (!(error instanceof ApiError)) return undefined
  const faults = error.details.filter((detail) => covers(path, detail.path)).map(({ message }) => message)
  return faults.length === 0 ? undefined : faults.join('; ')
}

function covers(path: string, other: string): boolean {
  return other === path || other.startsWith(`${path}.`)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

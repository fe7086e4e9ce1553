import type { Device } from '@freehold/contracts'
import { BadIcon } from '../../components/icons.tsx'
import { Ago } from '../../components/time.tsx'
import { ReleaseLink } from '../releases/names.tsx'
import { useReport } from './report.ts'

/** What the device could not take, where nobody can miss it. */
export function UpdateFailure({ device: { id, status } }: { device: Device }) {
  const failure = status.updateFailure
  const releases = useReport(id).data?.report?.releases
  const hasLog = [releases?.app?.log, releases?.host?.log].some(
    (log) => log !== null && log !== undefined && log !== '',
  )
  if (failure === null) return null
  return (
    <div role="alert" className="flex gap-2 rounded-md border border-bad/40 bg-bad-soft px-3 py-2 text-sm">
      <BadIcon className="mt-0.5 text-bad" />
      <div className="min-w-0 flex-1">
        <p className="font-medium">
          It could not take <ReleaseLink id={failure.releaseId} fallback={failure.version} />
          {failure.state === 'rolled-back' && ', and went back to what it had'}.
        </p>
        <p className="[overflow-wrap:anywhere]">{failure.message || 'It did not say why.'}</p>
        <p className="text-xs text-muted">
          <Ago at={failure.at} />.{hasLog && ' The last lines of its log stand below, under what it runs.'}
        </p>
      </div>
    </div>
  )
}

import { updateFailureKey } from './kind.ts'
import type { Live } from './live.ts'
import type { ReleaseProgress, ReportedReleases } from './read-heartbeat.ts'
import type { StatusWriter } from './status-writer.ts'

const failed: readonly string[] = ['failed', 'rolled-back', 'not-supported']

/**
 * Sees updates fail and succeed in what devices report, and writes that into their status: an event that people can be
 * told of. What stood in the status already when this process first heard the device is no news.
 */
export function createFailures({ statuses }: { statuses: Pick<StatusWriter, 'markUpdate'> }) {
  return {
    /** `before`: what the device said last; undefined: this is the first that was heard. */
    note(
      live: Live,
      heard: { before: Live['progress']; releases: Pick<ReportedReleases, 'app' | 'host'>; nowMs: number },
    ): void {
      const failure = failureIn(heard.releases)
      if (failure === undefined) {
        if (live.updateFailure === null || !hasEnded(live.updateFailure, heard.releases)) return
        live.updateFailure = null
        statuses.markUpdate(live.id, null)
        return
      }
      const key = updateFailureKey(failure)
      if (live.updateFailure === key && (heard.before === undefined || wasSaid(heard.before, failure))) return
      live.updateFailure = key
      const { releaseId, version, state, message } = failure
      statuses.markUpdate(live.id, {
        releaseId,
        version: version ?? '',
        state,
        message,
        at: new Date(heard.nowMs).toISOString(),
      })
    },
  }
}

/** The host's first: it is the graver one. */
function failureIn({ app, host }: Pick<ReportedReleases, 'app' | 'host'>): ReleaseProgress | undefined {
  return [host, app].find((progress) => progress !== null && failed.includes(progress.state)) ?? undefined
}

/** By a success of the very release, or of all that the device has to do with. */
function hasEnded(key: string, { app, host }: Pick<ReportedReleases, 'app' | 'host'>): boolean {
  const said = [app, host].filter((progress) => progress !== null)
  const succeeded = said.filter(({ state }) => state === 'succeeded')
  if (succeeded.some(({ releaseId }) => key.startsWith(`${releaseId} `))) return true
  return succeeded.length > 0 && succeeded.length === said.length
}

/** True where the very same attempt was said to have failed before: only the words or the other half have changed. */
function wasSaid(before: Live['progress'], { releaseId, attempt, state }: ReleaseProgress): boolean {
  const beginning = `${releaseId} ${attempt} ${state} `
  return [before?.app, before?.host].some((words) => words?.startsWith(beginning) === true)
}

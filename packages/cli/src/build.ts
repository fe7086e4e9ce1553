import type { Build, BuildLogLine } from '@freehold/contracts'
import { FreeholdError, routes } from '@freehold/contracts'
import type { AnyResource, Api } from './api.ts'
import { CliError, exitCodes } from './exit-codes.ts'
import { followResource } from './follow.ts'
import { findNoun, listNouns } from './nouns/noun.ts'
import { createProgressMeter } from './output/progress.ts'
import { bytes, plain, safeLogLine } from './output/text.ts'
import type { Runtime } from './runtime.ts'

const retryMs = 1000

/**
 * Follows a build until it has ended, with its log, and answers how it ended. Interrupted, it throws and says that the
 * build goes on. With `--json` each state is a line of NDJSON, each line of the log one with `log`.
 */
export async function watchBuild(runtime: Runtime, input: { api: Api; id: string }): Promise<Build> {
  const { output, io } = runtime
  const meter = createProgressMeter(io, output)
  const say = (text: string, at = io.now().toISOString()) => {
    meter.clear()
    output.line(`${output.style('dim', at.slice(11, 19))}  ${text}`)
  }
  const onLost = (reason: string) => {
    meter.clear()
    output.note(`Connection lost, trying again: ${reason}`)
  }
  const log = followLog(runtime, {
    ...input,
    onLine: (line) => (output.json ? output.record({ log: line }) : say(safeLogLine(line.text), line.at)),
  })
  let last: Build | undefined
  let said = ''
  const follow = followResource(
    input.api,
    { noun: findNoun(listNouns(), 'builds'), id: input.id, done: (build) => hasEnded(asBuild(build)) },
    { signal: runtime.signal, onLost },
  )
  for await (const resource of follow) {
    last = asBuild(resource)
    const text = standingOf(last)
    if (output.json) output.record(resource)
    else if (text !== said && !hasEnded(last)) say(text)
    said = text
    if (last.status.progress !== null && !hasEnded(last)) {
      const { phase, ...measure } = last.status.progress
      meter.report({ label: phase, ...measure })
    }
  }
  meter.clear()
  if (last === undefined || !hasEnded(last)) throw leftAlone(runtime, input.id)
  const failure = await log
  if (failure !== undefined) throw failure
  return last
}

function hasEnded({ status }: Build): boolean {
  return status.state !== 'waiting' && status.state !== 'building'
}

/** Says how a build ended: on standard output that it succeeded, else on standard error why not. */
export function tellEnd({ output }: Runtime, { id, status }: Build): void {
  if (output.json) return
  const { artifact, state, message } = status
  if (state !== 'succeeded' || artifact === null) {
    output.note(`error: The build ${state === 'cancelled' ? 'was cancelled' : 'failed'}: ${plain(message)}`)
    return
  }
  output.line(`Built ${plain(artifact.filename)}, ${bytes(artifact.sizeBytes)}.`)
  output.line(`sha256 ${artifact.sha256}`)
  output.note(`→ \`freehold builds download ${id}\` fetches it until ${artifact.expiresAt}.`)
}

/** Lines of the log until the build has ended; what broke it, where that was something else than this command's end. */
async function followLog(
  { signal }: Runtime,
  input: { api: Api; id: string; onLine: (line: BuildLogLine) => void },
): Promise<unknown> {
  const newness = createNewness()
  for (;;) {
    try {
      const request = { params: { id: input.id }, query: { follow: 'true' } }
      newness.begin()
      for await (const line of input.api.lines(routes.builds.log, request)) {
        if (newness.isNew(line)) input.onLine(line)
      }
      return undefined
    } catch (error) {
      if (signal.aborted) return undefined
      if (!(error instanceof FreeholdError) || error.code !== 'unavailable') return error
      await new Promise((resolve) => setTimeout(resolve, retryMs))
    }
  }
}

/** A stream that is opened anew begins at the beginning: what was shown is not shown again. */
function createNewness() {
  let newestAt = ''
  let shownAtNewest = 0
  let metAtNewest = 0
  return {
    begin() {
      metAtNewest = 0
    },
    isNew({ at }: BuildLogLine): boolean {
      if (at < newestAt) return false
      if (at > newestAt) [newestAt, shownAtNewest, metAtNewest] = [at, 0, 0]
      metAtNewest += 1
      if (metAtNewest <= shownAtNewest) return false
      shownAtNewest = metAtNewest
      return true
    },
  }
}

function standingOf({ status: { state, attempt, workerId, message } }: Build): string {
  const where = workerId === null ? '' : ` on ${workerId}`
  const which = attempt > 1 ? `, attempt ${attempt}` : ''
  return plain(`${state}${where}${which}: ${message}`)
}

function leftAlone({ io, options }: Runtime, id: string): CliError {
  const action = `The build goes on. \`freehold builds cancel ${id}\` ends it, \`freehold builds watch ${id}\` shows it again.`
  return io.signal.aborted
    ? new CliError(exitCodes.interrupted, 'Stopped watching the build.', action)
    : new CliError(exitCodes.failed, `The build was not finished within ${options.timeout} s.`, action)
}

function asBuild(resource: AnyResource): Build {
  return resource as unknown as Build
}

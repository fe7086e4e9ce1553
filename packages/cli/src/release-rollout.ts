import { isOpenRollout, type ReleaseRollout } from '@freehold/contracts'
import type { AnyResource, Api } from './api.ts'
import { CliError, type ExitCode, exitCodes } from './exit-codes.ts'
import { followResource } from './follow.ts'
import { findNoun, listNouns } from './nouns/noun.ts'
import { plain } from './output/text.ts'
import type { Runtime } from './runtime.ts'

type Status = ReleaseRollout['status']

/**
 * Follows a rollout of a release until it is final or was stopped, one line for each change. 0 only where it succeeded.
 * With `--json` each state is a line of NDJSON.
 */
export async function watchReleaseRollout(runtime: Runtime, input: { api: Api; id: string }): Promise<ExitCode> {
  const { output, io } = runtime
  let last: Status | undefined
  let said = ''
  const follow = followResource(
    input.api,
    { noun: findNoun(listNouns(), 'release-rollouts'), id: input.id, done: (rollout) => isDone(statusOf(rollout)) },
    { signal: runtime.signal, onLost: (reason) => output.note(`Connection lost, trying again: ${reason}`) },
  )
  for await (const rollout of follow) {
    last = statusOf(rollout)
    const line = progressOf(last)
    if (output.json) output.record(rollout)
    else if (line !== said) output.line(`${output.style('dim', io.now().toISOString().slice(11, 19))}  ${line}`)
    said = line
  }
  if (last === undefined || !isDone(last)) {
    const action = `It goes on by itself; \`freehold release-rollouts watch ${input.id}\` shows it again.`
    throw io.signal.aborted
      ? new CliError(exitCodes.interrupted, 'Stopped watching the rollout.', action)
      : new CliError(exitCodes.failed, `The rollout was not finished within ${runtime.options.timeout} s.`, action)
  }
  if (last.state === 'succeeded') return exitCodes.ok
  output.note(`error: The rollout ${outcomes[last.state] ?? last.state}.`)
  if (last.state === 'stopped') {
    output.note(
      `  → \`freehold release-rollouts members ${input.id} --state failed\` shows where; then retry or abort.`,
    )
  }
  return exitCodes.failed
}

const outcomes: Partial<Record<Status['state'], string>> = {
  stopped: 'was stopped',
  aborted: 'was aborted',
  superseded: 'was superseded by a newer one',
}

function isDone(status: Status): boolean {
  return status.state === 'stopped' || !isOpenRollout(status)
}

/** `running  phase 2/3  [####------]  40 of 100, 1 failed  …` */
function progressOf({ state, phase, phases, counts, message }: Status): string {
  const members = phases.reduce((sum, each) => sum + each.members, 0) - counts.left
  const failed = counts.failed + counts['rolled-back']
  const filled = members === 0 ? barWidth : Math.floor((counts.succeeded / members) * barWidth)
  const bar = `[${'#'.repeat(filled)}${'-'.repeat(barWidth - filled)}]`
  const failures = failed === 0 ? '' : `, ${failed} failed`
  return plain(
    `${state}  phase ${phase + 1}/${Math.max(1, phases.length)}  ${bar}  ${counts.succeeded} of ${members}${failures}  ${message}`,
  )
}

const barWidth = 20

function statusOf(rollout: AnyResource): Status {
  return rollout.status as unknown as Status
}

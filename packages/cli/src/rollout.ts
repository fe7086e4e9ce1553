import { finalPhases, type RolloutPhase } from '@freehold/contracts'
import type { AnyResource, Api } from './api.ts'
import { CliError, type ExitCode, exitCodes } from './exit-codes.ts'
import { followResource } from './follow.ts'
import { findNoun, listNouns } from './nouns/noun.ts'
import { plain } from './output/text.ts'
import type { Runtime } from './runtime.ts'

interface RolloutStatus {
  phase: RolloutPhase
  message: string
  failure: { logTail: string[]; refused?: true } | null
  history: { at: string; message: string }[]
}

/**
 * Follows a rollout until it is final, saying each of its steps once. 0 only where it succeeded; otherwise its reason
 * and the last log lines go to standard error. `each`: also print every state as a line of NDJSON.
 */
export async function watchRollout(
  runtime: Runtime,
  input: { api: Api; rolloutId: string; serviceName: string; each: boolean },
): Promise<ExitCode> {
  const { output } = runtime
  const told = new Set<string>()
  let last: AnyResource | undefined
  const follow = followResource(
    input.api,
    { noun: findNoun(listNouns(), 'rollouts'), id: input.rolloutId, done: isFinal },
    { signal: runtime.signal, onLost: (reason) => output.note(`Connection lost, trying again: ${reason}`) },
  )
  for await (const rollout of follow) {
    last = rollout
    if (output.json) {
      if (input.each) output.record(rollout)
    } else tellHistory(runtime, statusOf(rollout), told)
  }
  if (last === undefined || !isFinal(last)) throw stoppedWatching(runtime, input.serviceName)
  if (output.json && !input.each) output.document(last)
  return tellOutcome(runtime, last, input.serviceName)
}

function isFinal(rollout: AnyResource): boolean {
  return finalPhases.includes(statusOf(rollout).phase)
}

/** Why watching ended before the rollout did. */
function stoppedWatching(runtime: Runtime, serviceName: string): CliError {
  const action = `It goes on by itself; \`freehold rollouts watch ${serviceName}\` shows it again.`
  return runtime.io.signal.aborted
    ? new CliError(exitCodes.interrupted, 'Stopped watching the rollout.', action)
    : new CliError(exitCodes.failed, `The rollout was not finished within ${runtime.options.timeout} s.`, action)
}

function tellHistory({ output }: Runtime, status: RolloutStatus, told: Set<string>): void {
  for (const { at, message } of status.history) {
    const key = `${at} ${message}`
    if (told.has(key)) continue
    told.add(key)
    output.line(`${output.style('dim', at.slice(11, 19))}  ${plain(message)}`)
  }
}

function tellOutcome({ output }: Runtime, rollout: AnyResource, serviceName: string): ExitCode {
  const status = statusOf(rollout)
  const revision = String(rollout.data.revisionNumber)
  if (status.phase === 'succeeded') {
    if (!output.json) output.line(output.style('green', `${serviceName} runs revision ${revision}.`))
    return exitCodes.ok
  }
  output.note(`error: The rollout of ${serviceName} to revision ${revision} ${outcomes[status.phase] ?? status.phase}.`)
  output.note(`  ${plain(status.message)}`)
  const logTail = status.failure?.logTail ?? []
  if (logTail.length > 0) output.note('  Its last log lines:')
  for (const line of logTail) output.note(`    ${plain(line)}`)
  output.note(
    status.failure?.refused === true
      ? `  → Sign the image, then \`freehold deploy ${serviceName}\` again; \`freehold services get ${serviceName}\` shows the keys.`
      : `  → \`freehold logs ${serviceName}\` shows more; correct the service or its image and deploy again.`,
  )
  return exitCodes.failed
}

const outcomes: Partial<Record<RolloutPhase, string>> = {
  failed: 'failed',
  aborted: 'was aborted',
  superseded: 'was superseded by a newer one',
}

function statusOf(rollout: AnyResource): RolloutStatus {
  return rollout.status as unknown as RolloutStatus
}

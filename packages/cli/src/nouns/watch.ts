import type { ChangeEntry } from '@freehold/contracts'
import { type Command, Option } from 'commander'
import type { AnyResource } from '../api.ts'
import { type ExitCode, exitCodes } from '../exit-codes.ts'
import { followChanges } from '../follow.ts'
import { plain } from '../output/text.ts'
import { watchRollout } from '../rollout.ts'
import { type Environment, handle, type Runtime } from '../runtime.ts'
import { find, nameOf } from './lookup.ts'
import { findNoun, listNouns, type Noun } from './noun.ts'
import { wholeNumber } from './values.ts'

/** Adds `watch`: each change as it happens. For a rollout: its steps until it is final. */
export function addWatch(parent: Command, noun: Noun, environment: Environment): void {
  const isRollouts = noun.plural === 'rollouts'
  const command = parent
    .command('watch')
    .description(
      isRollouts
        ? 'Follow one rollout (of a service its newest) until it is final and exit 0 only if it succeeded; without an operand, every change of rollouts.'
        : `Show changes of ${noun.plural} as they happen (NDJSON with --json).`,
    )
    .argument(isRollouts ? '[service|id]' : `[${noun.singular}]`, 'only this one')
    .addOption(new Option('--since <version>', 'begin after this version instead of now').argParser(wholeNumber(0)))
  handle<{ since?: number }>(command, environment, async ({ operands, options, runtime }) => {
    const api = await runtime.api()
    const [reference] = operands
    const resource = reference === undefined ? undefined : await find(api, noun, reference)
    if (isRollouts && resource !== undefined) {
      const serviceName = reference === resource.id ? await serviceNameOf(runtime, resource) : String(reference)
      return watchRollout(runtime, { api, rolloutId: resource.id, serviceName, each: true })
    }
    const { signal, output } = runtime
    const onLost = (reason: string) => output.note(`Connection lost, trying again: ${reason}`)
    for await (const change of followChanges(api, { noun, since: options.since }, { signal, onLost })) {
      if (resource !== undefined && change.id !== resource.id) continue
      if (output.json) output.record(change)
      else output.line(describeChange(change, output.style))
    }
    return endOfWatch(runtime)
  })
}

function endOfWatch(runtime: Runtime): ExitCode {
  return runtime.io.signal.aborted ? exitCodes.interrupted : exitCodes.ok
}

async function serviceNameOf(runtime: Runtime, rollout: AnyResource): Promise<string> {
  return nameOf(await find(await runtime.api(), findNoun(listNouns(), 'services'), String(rollout.data.serviceId)))
}

/** One line for people: when, what, which, and how it now stands. */
function describeChange(change: ChangeEntry, style: (name: 'dim', text: string) => string): string {
  const resource = (change.after ?? change.before) as AnyResource | null | undefined
  const name = resource?.data === undefined ? change.id : nameOf(resource)
  const status = resource?.status ?? {}
  const standing = [status.state ?? status.phase, status.message].filter((part) => typeof part === 'string')
  const failure = failureOf(status.updateFailure)
  const what = change.operation === 'status' ? 'now' : `${change.operation}d by ${change.actor.name}`
  return [style('dim', change.at), plain(name), plain([what, ...standing, ...failure].join(': '))].join('  ')
}

/** A release that a device could not take. */
function failureOf(failure: unknown): string[] {
  if (typeof failure !== 'object' || failure === null || !('version' in failure && 'state' in failure)) return []
  const message = 'message' in failure && typeof failure.message === 'string' ? [failure.message] : []
  return [`update to ${failure.version} ${failure.state}`, ...message]
}

import type { ChangeEntry } from '@freehold/contracts'
import { FreeholdError } from '@freehold/contracts'
import type { AnyResource, Api } from './api.ts'
import { find } from './nouns/lookup.ts'
import type { Noun } from './nouns/noun.ts'

interface FollowOptions {
  signal: AbortSignal
  /** Told once for each loss of the connection. */
  onLost(reason: string): void
}

/** Every change of a noun after `since` (default: now), in order, until the signal ends it. */
export async function* followChanges(
  api: Api,
  input: { noun: Noun; since: number | undefined },
  options: FollowOptions,
): AsyncGenerator<ChangeEntry> {
  try {
    yield* api.changes({ kinds: [input.noun.kind], since: input.since, ...options })
  } catch (error) {
    if (!options.signal.aborted) throw error
  }
}

/**
 * One resource as it is now and after each of its changes, until `done` says so or the signal ends it. A change only
 * wakes: the resource is read again, so that what is yielded is always whole.
 */
export async function* followResource(
  api: Api,
  input: { noun: Noun; id: string; done(resource: AnyResource): boolean },
  options: FollowOptions,
): AsyncGenerator<AnyResource> {
  for (;;) {
    const since = await storeVersion(api, input.noun)
    let resource = await find(api, input.noun, input.id)
    yield resource
    if (input.done(resource)) return
    for await (const change of kept(followChanges(api, { noun: input.noun, since }, options))) {
      if (change.id !== input.id || change.version <= resource.version) continue
      resource = await find(api, input.noun, input.id)
      yield resource
      if (input.done(resource)) return
    }
    if (options.signal.aborted) return
  }
}

/** The version everything stands at now: whatever changes after it will be in the feed. */
async function storeVersion(api: Api, noun: Noun): Promise<number> {
  const list = noun.verbs.list
  if (list === undefined) return 0
  return ((await api.call(list, { query: { limit: 1 } })) as { version: number }).version
}

/** The changes, ending quietly where they are no longer kept: the caller then reads the whole again. */
async function* kept(changes: AsyncIterable<ChangeEntry>): AsyncGenerator<ChangeEntry> {
  try {
    yield* changes
  } catch (error) {
    if (!(error instanceof FreeholdError) || error.code !== 'feed-expired') throw error
  }
}

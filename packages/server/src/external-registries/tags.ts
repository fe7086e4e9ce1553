import { FreeholdError, type Image, splitImageName } from '@freehold/contracts'
import type { Reads } from '@freehold/store'
import { UpstreamError } from './client/index.ts'
import type { Upstreams } from './upstreams.ts'

/** What a tag of an image elsewhere meant when it was asked last. */
export type TagMeaning = { digest: string } | { problem: string }

/**
 * Rollouts run in transactions of the store, which must not wait for a network. So what tags mean is asked before, and
 * looked up inside.
 */
export interface TagLookup {
  /** Asks the registry of this image, within a few seconds; never throws. Mirrors are brought up to date instead. */
  ask(reads: Reads, wanted: { image: Image; imageVersion: string }): Promise<void>
  /** What was heard lately; undefined: it was not asked. */
  find(wanted: { image: Image; imageVersion: string }): TagMeaning | undefined
}

const heardForMs = 60_000
const heardKept = 5000

export function createTagLookup(options: {
  upstreams: Pick<Upstreams, 'of' | 'forHost'>
  /** Of a mirror in our registry. */
  refreshMirror: (repository: string, tag: string) => Promise<void>
  now: () => number
  limitMs?: number
}): TagLookup {
  const { upstreams, refreshMirror, now, limitMs = 8000 } = options
  const heard = new Map<string, { meaning: TagMeaning; at: number }>()

  const digestOf = async (reads: Reads, { image, imageVersion }: { image: Image; imageVersion: string }) => {
    const { location } = image.data
    if (location.internal) throw new Error(`${image.data.name} is not elsewhere.`)
    const { host, repository } = splitImageName(location.externalImage)
    const client =
      location.externalRegistryId === undefined
        ? await upstreams.forHost(reads, host)
        : await upstreams.of(reads, location.externalRegistryId)
    return client.digestOf(repository, imageVersion, AbortSignal.timeout(limitMs))
  }

  return {
    async ask(reads, wanted) {
      const { image, imageVersion } = wanted
      if (imageVersion.startsWith('sha256:')) return
      const { location } = image.data
      if (location.internal) {
        if (location.mirrorOf === undefined) return
        const refreshed = within(refreshMirror(image.data.name, imageVersion), limitMs)
        remember(keyOf(wanted), await meaningOf(refreshed.then(() => ({ digest: '' }))))
        return
      }
      remember(keyOf(wanted), await meaningOf(digestOf(reads, wanted).then((digest) => ({ digest }))))
    },
    find(wanted) {
      const found = heard.get(keyOf(wanted))
      return found !== undefined && now() - found.at <= heardForMs ? found.meaning : undefined
    },
  }

  function remember(key: string, meaning: TagMeaning): void {
    if (heard.size >= heardKept) heard.clear()
    heard.set(key, { meaning, at: now() })
  }
}

const keyOf = ({ image, imageVersion }: { image: Image; imageVersion: string }) => `${image.id}:${imageVersion}`

async function meaningOf(asked: Promise<TagMeaning>): Promise<TagMeaning> {
  try {
    return await asked
  } catch (error) {
    return { problem: sentenceOf(error) }
  }
}

function sentenceOf(error: unknown): string {
  if (error instanceof UpstreamError || error instanceof FreeholdError) return error.message
  if (error instanceof DOMException && error.name === 'TimeoutError') return 'Its registry did not answer in time.'
  return error instanceof Error ? error.message : 'Its registry could not be asked.'
}

async function within(work: Promise<void>, limitMs: number): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new DOMException('late', 'TimeoutError')), limitMs)
  try {
    await Promise.race([work, promise])
  } finally {
    clearTimeout(timer)
  }
}

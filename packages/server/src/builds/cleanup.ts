import { buildKind } from '@freehold/contracts'
import type { Clock, Random } from '@freehold/reconcile'
import { createDriver } from '@freehold/reconcile'
import { pagesOf, type Store } from '@freehold/store'
import type { Logger } from 'pino'
import type { ImageBytes, S3ForWorkers } from './bytes.ts'
import { artifactPrefix, withoutImage } from './kind.ts'
import { moveBuild } from './transition.ts'

/** What lies below our prefix in S3 and belongs to no build is left alone so long: it may be on its way. */
const strayMs = 24 * 3_600_000
const backoff = { minMs: 10_000, maxMs: 600_000 }
const timeLimitMs = 30 * 60_000

/**
 * Removes images whose time is over: first from the record, then the bytes. A process that dies in between leaves bytes
 * that nothing names; those are garbage of the blob store, or strays that are found here.
 */
export function createCleanup(options: {
  store: Store
  bytes: ImageBytes
  s3: S3ForWorkers | null
  periodMs: number
  clock: Clock
  random: Random
  log: Logger
}) {
  const { store, bytes, s3, periodMs, clock, random, log } = options

  async function run(signal: AbortSignal): Promise<undefined> {
    let removed = 0
    for await (const page of pagesOf(store, buildKind, { where: { kept: 'yes' } })) {
      for (const { id, data, status } of page) {
        if (signal.aborted) return
        const { artifact } = status
        if (artifact === null || artifact.location === null) continue
        if (Date.parse(artifact.expiresAt) > clock.now()) continue
        const message = `The image was removed: it was kept for ${data.keepForDays} days.`
        await moveBuild(store, { id, rule: (now) => withoutImage(now, message) })
        await bytes.remove(artifact.location)
        removed += 1
      }
    }
    if (s3 !== null) await removeStrays(s3, signal)
    if (removed > 0) log.info({ removed }, 'images of builds were removed: their time is over')
  }

  async function removeStrays({ objects }: S3ForWorkers, signal: AbortSignal): Promise<void> {
    for await (const { key, modifiedAtMs } of objects.list(artifactPrefix)) {
      if (signal.aborted) return
      if (clock.now() - modifiedAtMs < strayMs) continue
      const id = key.slice(artifactPrefix.length).split('/')[0] ?? ''
      const location = (await store.get(buildKind, id))?.status.artifact?.location
      if (location?.store === 's3' && location.key === key) continue
      await objects.remove(key)
      log.info({ key }, 'an image in S3 that no build names was removed')
    }
    await objects.sweep(artifactPrefix, strayMs)
  }

  const driver = createDriver({
    run,
    clock,
    random,
    periodMs,
    backoff,
    timeLimitMs,
    onFailure: ({ error }) =>
      log.warn({ err: error, job: 'image clean-up' }, 'a background job failed; it is tried again'),
  })
  return { run, start: () => driver.start(), stop: () => driver.stop() }
}

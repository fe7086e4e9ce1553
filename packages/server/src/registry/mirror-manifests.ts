import { BlobError, type BlobStore } from '@freehold/blobs'
import type { Actor, Store } from '@freehold/store'
import { type RegistryClient, UpstreamError, type UpstreamManifest } from '../external-registries/index.ts'
import type { Damage } from './damage.ts'
import type { DigestGuard } from './digest-guard.ts'
import type { Reference } from './endpoint.ts'
import { RegistryError } from './errors.ts'
import { type ParsedManifest, parseManifest, platformsOf } from './manifest.ts'
import type { ManifestBytes } from './manifest-bytes.ts'
import type { MirrorSource, Mirrors } from './mirrors.ts'
import { mirrorManifest } from './push.ts'
import type { Quota } from './quota.ts'
import { findManifest, findTag } from './repository.ts'
import { createSingleFlight } from './single-flight.ts'
import { openUpstreamBlob } from './upstream-blob.ts'

export const mirrorActor: Actor = { type: 'system', id: 'registry-mirror', name: 'registry mirror' }
/** A tag is asked for again after this long. */
export const defaultRevalidateMs = 60_000
/** While its registry is away a mirror answers from what it has, and tries again after this. */
const retryMs = 5_000
const askLimitMs = 20_000
const remembered = 10_000

interface Log {
  warn(fields: object, message: string): void
}

/**
 * Keeps the manifests of mirrors as they are elsewhere. A tag is asked for by its digest, at most every `revalidateMs`;
 * when its registry is away, what is here is served; when the registry says the tag is gone, it is gone here.
 */
export function createMirrorManifests(options: {
  store: Store
  blobs: BlobStore
  bytes: ManifestBytes
  damage: Pick<Damage, 'find'>
  guard: DigestGuard
  quota: Quota
  mirrors: Mirrors
  clientOf: (source: MirrorSource) => Promise<RegistryClient>
  log: Log
  now: () => number
  revalidateMs: number
}) {
  const { store, blobs, bytes, damage, guard, quota, mirrors, clientOf, log, now } = options
  /** From when until when what is here is taken as true, by `repository:tag`. A clock set back ends that too. */
  const fresh = new Map<string, { from: number; until: number }>()
  const flights = createSingleFlight<void>()

  /** Brings a manifest of a mirror here, if it is to be had and not here as it is there. Nothing for other repositories. */
  async function prepare(repository: string, reference: Reference): Promise<void> {
    const source = await mirrors.sourceOf(repository)
    if (source === undefined) return
    if (reference.kind === 'digest') {
      if (await isSound(repository, reference.digest)) return
      await flights.run(`${repository}@${reference.digest}`, () => fetchByDigest(repository, source, reference.digest))
      return
    }
    const key = `${repository}:${reference.tag}`
    if (isFresh(key) && (await isSound(repository, await digestOfTag(repository, reference.tag)))) return
    await flights.run(key, () => revalidate(repository, source, reference.tag))
  }

  /** What was deleted here, or is damaged, is fetched again. */
  async function isSound(repository: string, digest: string | undefined): Promise<boolean> {
    if (digest === undefined || (await findManifest(store, repository, digest)) === undefined) return false
    return (await damage.find(digest)) === undefined
  }

  const digestOfTag = async (repository: string, tag: string) => (await findTag(store, repository, tag))?.data.digest

  async function fetchByDigest(repository: string, source: MirrorSource, digest: string): Promise<void> {
    try {
      const client = await clientOf(source)
      const manifest = await client.manifest(source.repository, digest, AbortSignal.timeout(askLimitMs))
      await keep({ repository, source, client, manifest, tags: [] })
    } catch (error) {
      if (isMissing(error)) return
      throw awayError(error, repository)
    }
  }

  async function revalidate(repository: string, source: MirrorSource, tag: string): Promise<void> {
    const key = `${repository}:${tag}`
    const here = await findTag(store, repository, tag)
    try {
      const client = await clientOf(source)
      const digest = await client.digestOf(source.repository, tag, AbortSignal.timeout(askLimitMs))
      const isSame = here?.data.digest === digest && (await isSound(repository, digest))
      if (!isSame) {
        const manifest = await client.manifest(source.repository, digest, AbortSignal.timeout(askLimitMs))
        await keep({ repository, source, client, manifest, tags: [tag] })
      }
      trust(key, options.revalidateMs)
    } catch (error) {
      if (isMissing(error)) {
        fresh.delete(key)
        throw new RegistryError(
          'manifest-unknown',
          `${repository} mirrors ${source.repository}, which has no tag ${tag}.`,
        )
      }
      if (here === undefined) throw awayError(error, repository)
      log.warn({ err: error, repository, tag }, 'the registry behind a mirror is away; what is here is served')
      trust(key, Math.min(retryMs, options.revalidateMs))
    }
  }

  async function keep(kept: {
    repository: string
    source: MirrorSource
    client: RegistryClient
    manifest: UpstreamManifest
    tags: readonly string[]
  }): Promise<void> {
    const { repository, manifest, tags } = kept
    const { digest, mediaType, bytes: content } = manifest
    const parsed = parseManifest(content, mediaType === '' ? undefined : mediaType)
    const platforms = tags.length === 0 ? [] : await toldPlatforms(kept, parsed)
    const at = new Date(now()).toISOString()
    await guard.hold(digest, async () => {
      await bytes.put(digest, content)
      await mirrorManifest(store, mirrorActor, {
        repository,
        digest,
        sizeBytes: content.length,
        manifest: parsed,
        tags,
        platforms,
        at,
        limits: quota.limits,
      })
    })
  }

  /** For people only: a config that cannot be had now comes when somebody pulls it. */
  async function toldPlatforms(
    { source, client }: { source: MirrorSource; client: RegistryClient },
    manifest: ParsedManifest,
  ): Promise<string[]> {
    try {
      return await platformsOf(manifest, async (config) => {
        const here = await blobs.stat(config.digest)
        if (here !== undefined) return here.sizeBytes === config.size ? blobs.open(config.digest) : undefined
        return openUpstreamBlob(client, source.repository, config, AbortSignal.timeout(askLimitMs))
      })
    } catch (error) {
      const { digest } = manifest.platformConfig ?? {}
      log.warn({ err: error, digest }, 'the platform of a mirrored image is not known')
      return []
    }
  }

  function trust(key: string, forMs: number): void {
    if (fresh.size >= remembered) fresh.clear()
    fresh.set(key, { from: now(), until: now() + forMs })
  }

  function isFresh(key: string): boolean {
    const known = fresh.get(key)
    return known !== undefined && known.from <= now() && now() < known.until
  }

  return { prepare }
}

export function isMissing(error: unknown): boolean {
  return error instanceof UpstreamError && error.reason === 'not-found'
}

/** What a client of a mirror is told when there is nothing here and the registry behind it fails. */
export function awayError(error: unknown, repository: string): unknown {
  if (error instanceof DOMException && error.name === 'TimeoutError') {
    return new RegistryError('unavailable', `The registry that ${repository} mirrors did not answer in time.`, {
      cause: error,
    })
  }
  if (error instanceof BlobError && error.code === 'digest-mismatch') {
    return new RegistryError(
      'unavailable',
      `${repository} is a mirror, and the registry behind it gives other bytes than their digest says. Nothing was kept.`,
      { cause: error },
    )
  }
  if (error instanceof RegistryError && error.reason === 'manifest-invalid') {
    const message = `${repository} is a mirror, and the registry behind it gives a manifest that is none: ${error.message}`
    return new RegistryError('unavailable', message, { cause: error })
  }
  if (!(error instanceof UpstreamError)) return error
  const message = `${repository} is a mirror, and the registry behind it fails: ${error.message}`
  if (error.reason === 'too-many-requests') {
    const headers: Record<string, string> =
      error.retryAfterSeconds === undefined ? {} : { 'retry-after': String(error.retryAfterSeconds) }
    return new RegistryError('too-many-requests', message, { headers, cause: error })
  }
  return new RegistryError('unavailable', message, { cause: error })
}

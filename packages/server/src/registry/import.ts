import { Transform } from 'node:stream'
import type { BlobStore } from '@freehold/blobs'
import { FreeholdError, type ImportProgress } from '@freehold/contracts'
import type { Actor, Store } from '@freehold/store'
import { type RegistryClient, toFreeholdError, UpstreamError, type Upstreams } from '../external-registries/index.ts'
import type { DigestGuard } from './digest-guard.ts'
import { RegistryError } from './errors.ts'
import { createTally, type ImportSource, isIndex, parseSource, selectPlatforms, type Tally } from './import-plan.ts'
import { type Descriptor, type ParsedManifest, parseManifest, platformsOf } from './manifest.ts'
import { digestOf, type ManifestBytes } from './manifest-bytes.ts'
import type { Push } from './manifest-routes.ts'
import type { Mirrors } from './mirrors.ts'
import { pushManifest } from './push.ts'
import type { Quota } from './quota.ts'
import { findLink, linkBlob, renewLink } from './repository.ts'
import { openUpstreamBlob, requireUpstreamSize } from './upstream-blob.ts'

export interface ImportRequest {
  source: string
  externalRegistryId?: string | undefined
  repository: string
  tag?: string | undefined
  platforms?: readonly string[] | undefined
  actor: Actor
  signal: AbortSignal
}

/** Manifests of one image, which are held in memory until its blobs are here. */
const manifestsLimit = 1000
const manifestsLimitBytes = 64 * 1024 * 1024
const copiesAtOnce = 4
/** Lines of progress come no more often than this. */
const tellMs = 250

interface Fetched {
  digest: string
  bytes: Buffer
  manifest: ParsedManifest
}

/**
 * Copies an image from a registry elsewhere into a repository of ours, as its own push would: blobs first, then manifests,
 * last the one with the tag. What is here already is not copied again, so that an import that broke off goes on when it is
 * run again. Ends with `signal`.
 */
export function createImporter(options: {
  store: Store
  blobs: BlobStore
  bytes: ManifestBytes
  guard: DigestGuard
  quota: Quota
  mirrors: Mirrors
  upstreams?: Upstreams
  announce: (push: Push) => void
  now: () => number
}) {
  const { store, blobs, bytes, guard, quota, mirrors, upstreams, announce, now } = options

  const { limits } = quota

  async function* run(request: ImportRequest): AsyncGenerator<ImportProgress> {
    const { signal } = request
    try {
      yield* steps(request)
    } catch (error) {
      if (signal.aborted) return
      throw importError(error)
    }
  }

  async function* steps(request: ImportRequest): AsyncGenerator<ImportProgress> {
    const { repository, signal, actor } = request
    const source = parseSource(request.source)
    if (source === undefined) {
      throw new FreeholdError(
        'invalid-input',
        `${request.source} names no image, such as docker.io/library/nginx:1.27.`,
      )
    }
    await mirrors.refusePush(repository)
    const client = await clientFor(request, source)
    const tag = request.tag ?? source.tag
    const tally = createTally()
    const say = (message: string): ImportProgress => ({ message, ...tally.progress, done: null })

    yield say(`Reading ${source.repository} from ${client.host}.`)
    const { images, root } = await read(request, { source, client })
    const wanted = distinct(images.flatMap(({ manifest }) => manifest.requiredBlobs))
    tally.expect(wanted)
    const missing = await missingOf(wanted, { repository, actor, tally })
    yield say(`Copying ${missing.length} of ${wanted.length} blobs.`)
    yield* copyAll(missing, { request, source, client, tally, say })
    for (const image of images) if (image !== root) await push(image, { request, tags: [] })
    await push(root, { request, tags: [tag] })
    announce({ repository, tag, digest: root.digest, actor })
    signal.throwIfAborted()
    yield {
      ...say(`${repository}:${tag} is ${source.repository}@${root.digest}.`),
      done: { repository, tag, digest: root.digest },
    }
  }

  async function clientFor({ externalRegistryId }: ImportRequest, { host }: ImportSource): Promise<RegistryClient> {
    if (upstreams === undefined) throw new FreeholdError('conflict', 'This registry fetches nothing from others.')
    if (externalRegistryId === undefined) return upstreams.forHost(store, host)
    return upstreams.of(store, externalRegistryId, { host })
  }

  /** All manifests to push, children before what names them, and the one the tag goes to. */
  async function read(
    request: ImportRequest,
    { source, client }: { source: ImportSource; client: RegistryClient },
  ): Promise<{ images: Fetched[]; root: Fetched }> {
    const { signal, platforms } = request
    const fetch = async (reference: string): Promise<Fetched> => {
      const found = await client.manifest(source.repository, reference, signal)
      const manifest = parseManifest(found.bytes, found.mediaType === '' ? undefined : found.mediaType)
      return { digest: found.digest, bytes: found.bytes, manifest }
    }
    const images: Fetched[] = []
    const seen = new Set<string>()
    let sizeBytes = 0
    // What is fetched is counted, not what is whole: indexes may name one another without end, or the same one often.
    const collect = async (parent: Fetched, children: readonly Descriptor[]): Promise<void> => {
      for (const child of children) {
        if (seen.has(child.digest)) continue
        seen.add(child.digest)
        if (seen.size > manifestsLimit) throw tooManyManifests()
        const fetched = await fetch(child.digest)
        sizeBytes += fetched.bytes.length
        if (sizeBytes > manifestsLimitBytes) throw tooManyManifests()
        await collect(fetched, fetched.manifest.manifests)
      }
      images.push(parent)
    }
    const top = await fetch(source.reference)
    if (!isIndex(top.manifest)) {
      if (platforms !== undefined) await requirePlatform(top, { source, client, platforms, signal })
      return { images: [top], root: top }
    }
    const selection = selectPlatforms(top, platforms)
    if (selection.missing.length > 0) {
      throw new FreeholdError(
        'not-found',
        `${source.repository} has no image for ${selection.missing.join(', ')}; it has ${top.manifest.platforms.join(', ')}.`,
      )
    }
    if (selection.root.kind === 'child') {
      const only = await fetch(selection.root.digest)
      await collect(only, only.manifest.manifests)
      return { images, root: only }
    }
    const root = selection.root.kind === 'same' ? top : made(selection.root.bytes, top.manifest.mediaType)
    await collect(root, selection.children)
    return { images, root }
  }

  async function requirePlatform(
    { manifest }: Fetched,
    context: { source: ImportSource; client: RegistryClient; platforms: readonly string[]; signal: AbortSignal },
  ): Promise<void> {
    const { source, client, platforms, signal } = context
    const [platform] = await platformsOf(manifest, (config) =>
      openUpstreamBlob(client, source.repository, config, signal),
    )
    const fits = platform !== undefined && platforms.some((one) => platform === one || platform.startsWith(`${one}/`))
    if (fits) return
    throw new FreeholdError(
      'not-found',
      `${source.repository} is an image for ${platform ?? 'no known platform'} alone, not for ${platforms.join(', ')}.`,
    )
  }

  async function missingOf(
    wanted: readonly Descriptor[],
    { repository, actor, tally }: { repository: string; actor: Actor; tally: Tally },
  ): Promise<Descriptor[]> {
    const missing: Descriptor[] = []
    for (const blob of wanted) {
      await renewLink(store, actor, { repository, digest: blob.digest })
      const [link, stat] = await Promise.all([findLink(store, repository, blob.digest), blobs.stat(blob.digest)])
      if (link !== undefined && stat?.sizeBytes === blob.size) tally.present(blob)
      else missing.push(blob)
    }
    return missing
  }

  async function* copyAll(
    missing: readonly Descriptor[],
    context: {
      request: ImportRequest
      source: ImportSource
      client: RegistryClient
      tally: Tally
      say: (message: string) => ImportProgress
    },
  ): AsyncGenerator<ImportProgress> {
    const queue = [...missing]
    const stop = new AbortController()
    const signal = AbortSignal.any([context.request.signal, stop.signal])
    const work = async () => {
      for (let blob = queue.shift(); blob !== undefined; blob = queue.shift()) {
        await copy(blob, { ...context, signal })
        context.tally.present(blob)
      }
    }
    const workers = Promise.all(Array.from({ length: copiesAtOnce }, work))
    let isDone = false
    const ended = workers.then(
      () => {
        isDone = true
      },
      (error: unknown) => {
        isDone = true
        stop.abort(error)
      },
    )
    try {
      let told = ''
      while (!isDone) {
        await Promise.race([ended, pause(tellMs)])
        const line = context.say('Copying.')
        if (JSON.stringify(line) !== told) yield line
        told = JSON.stringify(line)
      }
    } finally {
      stop.abort(new UpstreamError('unreachable', 'The import was ended.'))
    }
    await workers
  }

  async function copy(
    blob: Descriptor,
    context: {
      request: ImportRequest
      source: ImportSource
      client: RegistryClient
      tally: Tally
      signal: AbortSignal
    },
  ): Promise<void> {
    const { source, client, tally, signal } = context
    const { repository, actor } = context.request
    const fits = { repository, digest: blob.digest, sizeBytes: async () => blob.size }
    await quota.reserve(fits, () =>
      guard.hold(blob.digest, async () => {
        const known = await blobs.stat(blob.digest)
        if (
          known !== undefined &&
          (await client.blobSize(source.repository, blob.digest, signal)) === known.sizeBytes
        ) {
          requireUpstreamSize(blob, known.sizeBytes)
          await linkBlob(store, actor, { repository, digest: blob.digest, sizeBytes: known.sizeBytes, limits })
          return
        }
        const stream = await openUpstreamBlob(client, source.repository, blob, signal)
        const counted = new Transform({
          transform(piece: Buffer, _encoding, done) {
            tally.copied(piece.length)
            done(null, piece)
          },
        })
        stream.on('error', (error) => counted.destroy(error))
        try {
          const { sizeBytes } = await blobs.put(blob.digest, stream.pipe(counted))
          await linkBlob(store, actor, { repository, digest: blob.digest, sizeBytes, limits })
        } finally {
          stream.destroy()
          counted.destroy()
        }
      }),
    )
  }

  async function push(
    { digest, bytes: content, manifest }: Fetched,
    { request, tags }: { request: ImportRequest; tags: string[] },
  ): Promise<void> {
    const { repository, actor, signal } = request
    signal.throwIfAborted()
    const platforms = tags.length === 0 ? [] : await platformsOf(manifest, ({ digest }) => blobs.open(digest))
    const at = new Date(now()).toISOString()
    await guard.hold(digest, async () => {
      await bytes.put(digest, content)
      await pushManifest(store, actor, {
        repository,
        digest,
        sizeBytes: content.length,
        manifest,
        tags,
        platforms,
        at,
        limits,
      })
    })
  }

  return { run }
}

function made(bytes: Buffer, mediaType: string): Fetched {
  return { digest: digestOf(bytes, 'sha256'), bytes, manifest: parseManifest(bytes, mediaType) }
}

function tooManyManifests(): FreeholdError {
  const mebibytes = manifestsLimitBytes / 1024 / 1024
  return new FreeholdError(
    'conflict',
    `The image has more than ${manifestsLimit} manifests, or more than ${mebibytes} MiB of them.`,
  )
}

function distinct(blobs: readonly Descriptor[]): Descriptor[] {
  return [...new Map(blobs.map((blob) => [blob.digest, blob])).values()]
}

function importError(error: unknown): unknown {
  if (error instanceof RegistryError) {
    const code = error.reason === 'manifest-invalid' ? 'upstream-failed' : 'conflict'
    return error.status >= 500 ? error : new FreeholdError(code, error.message, { cause: error })
  }
  return toFreeholdError(error)
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref()
  })
}

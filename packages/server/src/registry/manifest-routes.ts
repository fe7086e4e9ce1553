import { type BlobStore, parseDigest } from '@freehold/blobs'
import type { Manifest } from '@freehold/contracts'
import type { Actor, Store } from '@freehold/store'
import type { Damage } from './damage.ts'
import { deleteManifest, deleteTag } from './deletion.ts'
import type { DigestGuard } from './digest-guard.ts'
import { parseTag, type Reference } from './endpoint.ts'
import { RegistryError } from './errors.ts'
import { type Exchange, isKnown, readBody, sendEmpty } from './exchange.ts'
import { configLimitBytes, manifestLimitBytes, type ParsedManifest, parseManifest, platformsOf } from './manifest.ts'
import { digestOf, type ManifestBytes } from './manifest-bytes.ts'
import { pushManifest } from './push.ts'
import type { Quota } from './quota.ts'
import { findLink, findManifest, findTag } from './repository.ts'

/** Tags one push may give beside its reference. */
const tagLimit = 64

/** What a push of a tag announces after it is durable. */
export interface Push {
  repository: string
  tag: string
  digest: string
  actor: Actor
}

interface Target {
  repository: string
  reference: Reference
}

/** Pulling, pushing and deleting manifests (OCI Distribution 1.1, end-3, end-7, end-9). */
export function createManifestRoutes(options: {
  store: Store
  blobs: BlobStore
  bytes: ManifestBytes
  damage: Pick<Damage, 'find'>
  guard: DigestGuard
  quota: Quota
  /** How revisions name this registry. */
  host: string
  announce: (push: Push) => void
  now: () => number
  idleTimeoutMs: number
}) {
  const { store, blobs, bytes, guard, quota, host } = options

  async function get({ request, response }: Exchange, { repository, reference }: Target): Promise<void> {
    const row = await resolve(repository, reference)
    if (request.method === 'HEAD') await requireSound(repository, row.data.digest)
    const etag = `"${row.data.digest}"`
    const headers = {
      'docker-content-digest': row.data.digest,
      etag,
      'cache-control': reference.kind === 'digest' ? 'private, max-age=31536000, immutable' : 'no-cache',
    }
    if (isKnown(request, etag)) {
      response.writeHead(304, headers)
      response.end()
      return
    }
    const content = request.method === 'HEAD' ? undefined : await bytes.get(row.data.digest)
    response.writeHead(200, { 'content-type': row.data.mediaType, 'content-length': row.data.size, ...headers })
    response.end(content)
  }

  /** Clients that hear a manifest is there do not send it again; one whose bytes are damaged must be sent. */
  async function requireSound(repository: string, digest: string): Promise<void> {
    if ((await options.damage.find(digest)) === undefined) return
    throw new RegistryError('manifest-unknown', `The stored manifest ${digest} of ${repository} is damaged; push it.`)
  }

  async function resolve(repository: string, reference: Reference): Promise<Manifest> {
    const digest = reference.kind === 'digest' ? reference.digest : await digestOfTag(repository, reference.tag)
    const row = digest === undefined ? undefined : await findManifest(store, repository, digest)
    if (row !== undefined) return row
    const named = reference.kind === 'digest' ? `manifest ${reference.digest}` : `tag ${reference.tag}`
    throw new RegistryError('manifest-unknown', `${repository} has no ${named}.`)
  }

  const digestOfTag = async (repository: string, tag: string) => (await findTag(store, repository, tag))?.data.digest

  async function put(exchange: Exchange, { repository, reference }: Target): Promise<void> {
    const { request, visitor } = exchange
    const tags = tagsOf(exchange, reference)
    const body = await readBody(request, {
      limitBytes: manifestLimitBytes,
      idleTimeoutMs: options.idleTimeoutMs,
      tooLarge: () =>
        new RegistryError('manifest-too-large', `A manifest may have at most ${manifestLimitBytes} bytes.`),
    })
    const digest = digestFor(body, reference)
    const manifest = parseManifest(body, request.headers['content-type'])
    const platforms = await toldPlatforms(repository, manifest)
    const at = new Date(options.now()).toISOString()
    const { limits } = quota
    const push = { repository, digest, sizeBytes: body.length, manifest, tags, platforms, at, limits }
    await quota.reserve({ repository, digest, sizeBytes: async () => body.length }, () =>
      guard.hold(digest, async () => {
        await bytes.put(digest, body)
        await pushManifest(store, visitor.actor, push)
      }),
    )
    for (const tag of tags) options.announce({ repository, tag, digest, actor: visitor.actor })
    sendEmpty(exchange, 201, {
      location: `/v2/${repository}/manifests/${digest}`,
      'docker-content-digest': digest,
      ...(manifest.subject === null ? {} : { 'oci-subject': manifest.subject }),
      ...(reference.kind === 'digest' && tags.length > 0 ? { 'oci-tag': tags.join(', ') } : {}),
    })
  }

  /** For people only; a config that is missing or strange is the push's business, not this one's. */
  function toldPlatforms(repository: string, manifest: ParsedManifest): Promise<string[]> {
    return platformsOf(manifest, async ({ digest }) => {
      const link = await findLink(store, repository, digest)
      if (link === undefined || link.data.size > configLimitBytes) return undefined
      return blobs.open(digest)
    })
  }

  async function remove(exchange: Exchange, { repository, reference }: Target): Promise<void> {
    const { actor } = exchange.visitor
    const at = new Date(options.now()).toISOString()
    if (reference.kind === 'tag') await deleteTag(store, actor, { repository, tag: reference.tag, host, at })
    else await deleteManifest(store, actor, { repository, digest: reference.digest, host, at })
    sendEmpty(exchange, 202, {})
  }

  return { get, put, remove }
}

function tagsOf({ query }: Exchange, reference: Reference): string[] {
  if (reference.kind === 'tag') return [reference.tag]
  const tags = [...new Set(query.getAll('tag'))]
  if (tags.length > tagLimit) throw new RegistryError('too-many-tags', `One push gives at most ${tagLimit} tags.`)
  return tags.map(parseTag)
}

/** The digest of the body; where the reference is one, they must agree. Throws `digest-invalid`. */
function digestFor(body: Buffer, reference: Reference): string {
  if (reference.kind === 'tag') return digestOf(body, 'sha256')
  const actual = digestOf(body, parseDigest(reference.digest)?.algorithm ?? 'sha256')
  if (actual === reference.digest) return actual
  throw new RegistryError('digest-invalid', `The manifest has the digest ${actual}, not ${reference.digest}.`)
}

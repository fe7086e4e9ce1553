import type { BlobStore } from '@freehold/blobs'
import {
  attachedLimit,
  type DeletionPlan,
  FreeholdError,
  type Image,
  imageKind,
  type ManifestDetail,
  manifestKind,
  tagKind,
} from '@freehold/contracts'
import { pagesOf, type Reads, type Store } from '@freehold/store'
import type { Handlers } from '../http/handler.ts'
import { getResource } from '../http/resources.ts'
import { createRegistryContent } from './content.ts'
import { applyDeletion } from './deletion.ts'
import { type Deletion, type PlannedDeletion, planDeletion } from './deletion-plan.ts'
import { RegistryError } from './errors.ts'
import { freedBytes } from './freed.ts'
import { bounded, readConfig, readContent } from './inspect-content.ts'
import { attachedTo, createFacts, type Repository, referrerOf } from './inspect-facts.ts'
import { listSummaries } from './inspect-summaries.ts'
import { configLimitBytes } from './manifest.ts'
import { createManifestBytes } from './manifest-bytes.ts'
import { purposeOf } from './purpose.ts'
import { findManifest, findTag } from './repository.ts'

type Contents = 'summaries' | 'tags' | 'tag' | 'manifests' | 'manifest' | 'deletions'

/**
 * What is in a repository, for people: read from rows by key and page by page, from bytes only where one manifest is
 * looked at. Deletes go by the same rules as those of `/v2`, and leave the same trace in the audit log.
 */
export function createImageContentHandlers(options: {
  store: Store
  blobs: BlobStore
  /** How revisions name this registry. */
  registryHost: () => string
  /** Stored bytes are not those of the digest. */
  onDamage: (digest: string) => void
  now: () => number
}): Pick<Handlers<'images'>, Contents> {
  const { store, blobs } = options
  const verified = createRegistryContent({ reads: store, blobs })
  const bytes = createManifestBytes({ blobs, onDamage: options.onDamage })

  async function repositoryOf(reads: Reads, id: string): Promise<Repository> {
    const image = await getResource(reads, imageKind, id)
    return { name: ownName(image), imageId: id, host: options.registryHost() }
  }

  async function detail(repository: Repository, digest: string): Promise<ManifestDetail> {
    const row = await findManifest(store, repository.name, digest)
    if (row === undefined) throw new FreeholdError('not-found', `${repository.name} has no manifest ${digest}.`)
    const content = readContent(await bytes.get(digest).catch(asConflict))
    const children: ManifestDetail['children'] = []
    for (const child of content.children) {
      const known = await findManifest(store, repository.name, child.digest)
      const purpose = child.purpose === 'artifact' && known !== undefined ? purposeOf(known.data) : child.purpose
      children.push({ ...child, purpose, present: known !== undefined })
    }
    const facts = await createFacts(store, repository).manifest(row)
    const isImage = facts.purpose === 'image'
    return {
      ...facts,
      repository: repository.name,
      manifestBytes: row.data.size,
      annotations: bounded(row.data.annotations),
      config: isImage && content.configDigest !== null ? await configOf(repository.name, content.configDigest) : null,
      layers: content.layers,
      layerCount: content.layerCount,
      children,
      childCount: content.childCount,
      referrers: (await attachedTo(store, repository.name, digest)).slice(0, attachedLimit).map(referrerOf),
      parents: await parentsOf(repository.name, digest),
    }
  }

  async function configOf(repository: string, digest: string): Promise<ManifestDetail['config']> {
    const config = await verified.blob(repository, digest, { limitBytes: configLimitBytes })
    return config === undefined ? null : readConfig(config)
  }

  /** Reads the repository's indexes, page by page. */
  async function parentsOf(repository: string, digest: string): Promise<string[]> {
    const parents: string[] = []
    for await (const page of pagesOf(store, manifestKind, { where: { indexOf: repository } })) {
      for (const { data } of page) if (data.manifests.includes(digest)) parents.push(data.digest)
      if (parents.length >= attachedLimit) break
    }
    return parents.slice(0, attachedLimit)
  }

  return {
    summaries: ({ query }) => listSummaries(store, query),
    async tags({ params, query }) {
      const repository = await repositoryOf(store, params.id)
      const page = await store.list(tagKind, { ...pageOptions(query), where: { repository: repository.name } })
      const facts = createFacts(store, repository)
      const items = []
      for (const tag of page.items) {
        const item = await facts.tag(tag)
        if (item !== undefined) items.push(item)
      }
      return { ...page, items }
    },
    async tag({ params }) {
      const repository = await repositoryOf(store, params.id)
      const tag = await findTag(store, repository.name, params.tag)
      const item = tag && (await createFacts(store, repository).tag(tag))
      if (item === undefined) throw new FreeholdError('not-found', `${repository.name} has no tag ${params.tag}.`)
      return item
    },
    async manifests({ params, query }) {
      const repository = await repositoryOf(store, params.id)
      const page = await store.list(manifestKind, { ...pageOptions(query), where: { repository: repository.name } })
      const facts = createFacts(store, repository)
      const items = []
      for (const row of page.items) items.push(await facts.manifest(row))
      return { ...page, items }
    },
    manifest: async ({ params }) => detail(await repositoryOf(store, params.id), params.digest),
    async deletions({ params, body, caller }) {
      const { name, host } = await repositoryOf(store, params.id)
      const deletion: Deletion = {
        repository: name,
        host,
        tags: body.tags,
        digests: body.manifests,
        others: body.cascade ? 'take' : 'leave',
      }
      if (body.preview) return planned(store, await planDeletion(store, deletion), { repository: name, deleted: false })
      const plan = await store.transaction(caller.actor, async (transaction) => {
        const decided = await planDeletion(transaction, deletion)
        refuse(decided)
        await applyDeletion(transaction, { repository: name, at: new Date(options.now()).toISOString() }, decided)
        return decided
      })
      return planned(store, plan, { repository: name, deleted: true })
    },
  }
}

function ownName({ data }: Image): string {
  if (data.location.internal) return data.name
  throw new FreeholdError('not-found', `${data.name} lives in another registry; this one has no contents of it.`)
}

function pageOptions(query: { limit: number; cursor?: string | undefined; search?: string | undefined }) {
  const { limit, cursor, search } = query
  return {
    order: 'changed' as const,
    limit,
    ...(cursor === undefined ? {} : { cursor }),
    ...(search === undefined ? {} : { search }),
  }
}

/** Throws `conflict` (or `not-found`) with every reason. */
function refuse({ refusals }: PlannedDeletion): void {
  const [first] = refusals
  if (first === undefined) return
  const more = refusals.length === 1 ? '' : ` (and ${refusals.length - 1} more)`
  const details = refusals.map(({ tag, digest, message }) => ({ path: tag ?? digest ?? '', message }))
  const isMissing = refusals.every(({ reason }) => reason === 'not-found')
  throw new FreeholdError(isMissing ? 'not-found' : 'conflict', `${first.message}${more} Nothing was deleted.`, {
    details,
  })
}

async function planned(
  reads: Reads,
  plan: PlannedDeletion,
  { repository, deleted }: { repository: string; deleted: boolean },
): Promise<DeletionPlan> {
  const tagsOf = (digest: string) => plan.tags.filter(({ data }) => data.digest === digest).map(({ data }) => data.name)
  return {
    deleted,
    tags: plan.tags.map(({ data }) => ({ tag: data.name, digest: data.digest })),
    manifests: plan.manifests.map(({ manifest: { data }, because }) => ({
      digest: data.digest,
      mediaType: data.mediaType,
      purpose: purposeOf(data, tagsOf(data.digest)),
      platforms: data.platforms ?? [],
      because,
    })),
    leftBehind: plan.leftBehind,
    freedBytes: await freedBytes(
      reads,
      repository,
      plan.manifests.map(({ manifest }) => manifest),
    ),
    refusals: plan.refusals.map(({ tag, digest, reason, message }) => ({ tag, digest, reason, message })),
  }
}

function asConflict(error: unknown): never {
  if (error instanceof RegistryError) throw new FreeholdError('conflict', error.message, { cause: error })
  throw error
}

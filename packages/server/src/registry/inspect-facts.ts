import {
  type Attachments,
  attachedLimit,
  type Deployment,
  type HoldingRelease,
  type ImageManifest,
  type ImageTag,
  type Manifest,
  type ManifestPurpose,
  manifestKind,
  type Referrer,
  type Tag,
  tagKind,
} from '@freehold/contracts'
import type { Reads } from '@freehold/store'
import { releasesHolding } from '../images/index.ts'
import { contentBytes } from './manifest.ts'
import { attachingTags, purposeOf } from './purpose.ts'
import { findManifest, findTag, referenceTo } from './repository.ts'
import { runningOf, type Serving, servingOf } from './served.ts'

/** Children of an index that are added up. */
const childLimit = 200

export interface Repository {
  name: string
  imageId: string
  /** How revisions name this registry. */
  host: string
}

export interface Attached {
  row: Manifest
  purpose: ManifestPurpose
  /** The tag that attaches it; null where its `subject` does. */
  tag: string | null
}

/**
 * Tells of manifests what people want to know, for one answer: what it learns of a digest it keeps, so that a hundred
 * tags of the same image cost as much as one. Everything is read by key; nothing grows with the repository.
 */
export function createFacts(reads: Reads, repository: Repository) {
  const remembered = new Map<string, Promise<Awaited<ReturnType<typeof learn>>>>()
  let current: Promise<Map<string, Serving[]>> | undefined

  const factsOf = (row: Manifest, tags: readonly string[] = []) => {
    const known = remembered.get(row.data.digest) ?? learn(row)
    remembered.set(row.data.digest, known)
    return known.then((facts) => ({ ...facts, purpose: purposeOf(row.data, tags) }))
  }

  async function learn(row: Manifest) {
    const { digest, mediaType, artifactType } = row.data
    const children = await childrenOf(reads, row)
    const attached = await attachedTo(reads, repository.name, digest)
    return {
      digest,
      mediaType,
      artifactType,
      platforms: [...(row.data.platforms ?? [])].filter((platform) => !platform.startsWith('unknown/')),
      sizeBytes: contentBytes(
        row.data,
        children.map(({ data }) => data),
      ),
      deployments: await deploymentsOf(digest),
      releases: await releasesOf(digest),
      attachments: countAttached([
        ...attached.map(({ purpose }) => purpose),
        ...children.map((child) => purposeOf(child.data)).filter((purpose) => purpose === 'attestation'),
      ]),
    }
  }

  /** Those that run it now first, then the newest revision of each service that is kept to go back to. */
  async function deploymentsOf(digest: string): Promise<Deployment[]> {
    current ??= runningOf(reads, repository.imageId)
    const running = (await current).get(digest) ?? []
    const kept = await servingOf(reads, { repository: repository.name, host: repository.host, digest }, attachedLimit)
    const others = kept.filter(({ service }) => !running.some((one) => one.service.id === service.id))
    return [...running, ...others]
      .map(deploymentOf)
      .sort((a, b) => Number(b.current) - Number(a.current))
      .slice(0, attachedLimit)
  }

  /** The newest first. */
  async function releasesOf(digest: string): Promise<HoldingRelease[]> {
    const holding = await releasesHolding(reads, { repository: repository.name, digest }, attachedLimit)
    return holding.flatMap(({ release }) => {
      if (release === null) return []
      const { product, version, host } = release.data
      return [{ releaseId: release.id, product, version, deviceType: host?.deviceType ?? null }]
    })
  }

  return {
    async tag(tag: Tag): Promise<ImageTag | undefined> {
      const row = await findManifest(reads, repository.name, tag.data.digest)
      if (row === undefined) return undefined
      const facts = await factsOf(row, [tag.data.name])
      return { ...facts, tag: tag.data.name, pushedBy: tag.data.pushedBy, pushedAt: tag.updatedAt }
    },
    async manifest(row: Manifest): Promise<ImageManifest> {
      const page = await reads.list(tagKind, {
        where: { manifest: referenceTo(repository.name, row.data.digest) },
        order: 'changed',
        limit: attachedLimit,
      })
      const tags = page.items.map((tag) => tag.data.name)
      const { pushedBy, subject } = row.data
      return { ...(await factsOf(row, tags)), tags, subject, pushedBy, pushedAt: row.createdAt }
    },
  }
}

function deploymentOf({ service, revision }: Serving): Deployment {
  return {
    serviceId: service.id,
    serviceName: service.data.name,
    revisionId: revision.id,
    revisionNumber: revision.data.number,
    current: service.status.currentRevisionId === revision.id,
  }
}

async function childrenOf(reads: Reads, row: Manifest): Promise<Manifest[]> {
  const children: Manifest[] = []
  for (const digest of row.data.manifests.slice(0, childLimit)) {
    const child = await findManifest(reads, row.data.repository, digest)
    if (child !== undefined) children.push(child)
  }
  return children
}

/** What refers to a manifest: by `subject`, and by cosign's tags; at most 20 by `subject`. */
export async function attachedTo(reads: Reads, repository: string, digest: string): Promise<Attached[]> {
  const page = await reads.list(manifestKind, {
    where: { subject: referenceTo(repository, digest) },
    order: 'changed',
    limit: attachedLimit,
  })
  const attached = page.items.map((row): Attached => ({ row, purpose: purposeOf(row.data), tag: null }))
  for (const { tag, purpose } of attachingTags(digest)) {
    const found = await findTag(reads, repository, tag)
    const row = found && (await findManifest(reads, repository, found.data.digest))
    if (row === undefined || attached.some((known) => known.row.id === row.id)) continue
    attached.push({ row, purpose, tag })
  }
  return attached
}

export function referrerOf({ row, purpose, tag }: Attached): Referrer {
  const { digest, artifactType, mediaType, annotations, pushedBy } = row.data
  return {
    digest,
    purpose,
    artifactType,
    mediaType,
    sizeBytes: contentBytes(row.data, []),
    annotations,
    tag,
    pushedBy,
    pushedAt: row.createdAt,
  }
}

function countAttached(purposes: readonly ManifestPurpose[]): Attachments {
  const count = (wanted: ManifestPurpose) => purposes.filter((purpose) => purpose === wanted).length
  const [signatures, sboms, attestations] = [count('signature'), count('sbom'), count('attestation')]
  return { signatures, sboms, attestations, others: purposes.length - signatures - sboms - attestations }
}

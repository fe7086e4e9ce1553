import {
  attachedLimit,
  externalRegistryKind,
  type Image,
  type ImageSummary,
  imageKind,
  manifestKind,
  serviceKind,
  tagKind,
} from '@freehold/contracts'
import type { Reads } from '@freehold/store'
import { getResource } from '../http/resources.ts'

interface SummaryQuery {
  limit: number
  cursor?: string | undefined
  search?: string | undefined
  id?: string | undefined
}

/** A page of images, the one pushed to or changed last first, with what a list of them shows. */
export async function listSummaries(reads: Reads, { id, limit, cursor, search }: SummaryQuery) {
  if (id !== undefined) {
    const version = await reads.version()
    return { items: [await summaryOf(reads, await getResource(reads, imageKind, id))], nextCursor: null, version }
  }
  const page = await reads.list(imageKind, {
    order: 'changed',
    limit,
    ...(cursor === undefined ? {} : { cursor }),
    ...(search === undefined ? {} : { search }),
  })
  const items: ImageSummary[] = []
  for (const image of page.items) items.push(await summaryOf(reads, image))
  return { ...page, items }
}

async function summaryOf(reads: Reads, { id, data, status }: Image): Promise<ImageSummary> {
  const services = await reads.list(serviceKind, { where: { imageId: id }, limit: attachedLimit })
  return {
    id,
    name: data.name,
    description: data.description,
    externalImage: data.location.internal ? null : data.location.externalImage,
    mirrorOf: await sourceOf(reads, data.location),
    ...(data.location.internal ? await contentsOf(reads, data.name) : nothing),
    sizeBytes: status.usedBytes,
    lastPushAt: status.lastPushAt,
    services: services.items.map((service) => ({
      id: service.id,
      name: service.data.name,
      state: service.status.state,
      imageVersion: service.data.imageVersion,
    })),
  }
}

async function sourceOf(reads: Reads, location: Image['data']['location']): Promise<string | null> {
  if (!location.internal || location.mirrorOf === undefined) return null
  const { externalRegistryId, repository } = location.mirrorOf
  const registry = await reads.get(externalRegistryKind, externalRegistryId)
  return `${registry?.data.name ?? externalRegistryId}/${repository}`
}

const nothing = { tagCount: 0, manifestCount: 0, newestTag: null, lastPushBy: null }

async function contentsOf(reads: Reads, repository: string) {
  const where = { repository }
  const newest = (await reads.list(tagKind, { where, order: 'changed', limit: 1 })).items[0]
  return {
    tagCount: await reads.count(tagKind, { where }),
    manifestCount: await reads.count(manifestKind, { where }),
    newestTag: newest?.data.name ?? null,
    lastPushBy: newest?.data.pushedBy ?? null,
  }
}

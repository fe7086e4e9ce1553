import { isDeepStrictEqual } from 'node:util'
import {
  type Cluster,
  type Document,
  type ExternalRegistry,
  FreeholdError,
  type Image,
  type planChangeSchema,
  repositoryOfService,
  type Service,
} from '@freehold/contracts'
import type { z } from 'zod'

export type PlanChange = z.output<typeof planChangeSchema>
/** A change with the document it makes so; null for a delete. */
export type Change = PlanChange & { document: Document | null }

/** Everything a plan is about, as it is stored. */
export interface Current {
  clusters: readonly Cluster[]
  registries: readonly ExternalRegistry[]
  images: readonly Image[]
  services: readonly Service[]
}

/** The stored state as documents, in an order that depends on names alone. */
export function documentsOf(current: Current): Document[] {
  const ownIds = ownImages(current)
  const own = new Set(current.images.filter((image) => ownIds.has(image.id)).map((image) => image.data.name))
  return allDocuments(current).filter((document) => document.kind !== 'image' || !own.has(document.name))
}

/** With the images that services have of their own. */
function allDocuments(current: Current): Document[] {
  const own = ownImages(current)
  const clusterNames = namesById(current.clusters)
  const imageNames = namesById(current.images)
  const registryNames = namesById(current.registries)
  return [
    ...current.clusters.map(({ data: { name, ...spec }, labels }) => ({
      kind: 'cluster',
      name,
      ...shown(labels),
      spec,
    })),
    ...current.registries.map(({ data: { name, type, url, username }, labels }) => ({
      kind: 'external-registry',
      name,
      ...shown(labels),
      spec: { type, url, username },
    })),
    ...current.images.map(({ data: { name, location, ...spec }, labels }) => ({
      kind: 'image',
      name,
      ...shown(labels),
      spec: { ...spec, location: namedLocation(location, registryNames) },
    })),
    ...current.services.map(({ data: { name, clusterId, imageId, ...spec }, labels }) => {
      const image = imageId === undefined || own.has(imageId) ? {} : { image: imageNames.get(imageId) ?? imageId }
      const cluster = clusterNames.get(clusterId) ?? clusterId
      return { kind: 'service', name, ...shown(labels), spec: { ...spec, cluster, ...image } }
    }),
  ].toSorted((one, other) => rank(one) - rank(other) || compare(one.name, other.name)) as Document[]
}

/**
 * What must change so that the stored state is what the documents say. With `prune` what they do not name is deleted,
 * except clusters and the images services have of their own. Throws `invalid-input` for documents that contradict
 * each other, `not-found` for names that are nowhere.
 */
export function diff(documents: readonly Document[], current: Current, options: { prune: boolean }): Change[] {
  refuseRepeats(documents)
  refuseUnknownNames(documents, current)
  const ids = new Map<string, string>([
    ...current.clusters.map((one) => [`cluster/${one.data.name}`, one.id] as const),
    ...current.registries.map((one) => [`external-registry/${one.data.name}`, one.id] as const),
    ...current.images.map((one) => [`image/${one.data.name}`, one.id] as const),
    ...current.services.map((one) => [`service/${one.data.name}`, one.id] as const),
  ])
  const stored = new Map(allDocuments(current).map((document) => [keyOf(document), document]))
  const changes = documents.flatMap((document): Change[] => {
    const { kind, name } = document
    const before = stored.get(keyOf(document))
    if (before === undefined) return [{ action: 'create', kind, name, id: null, fields: [], document }]
    const fields = fieldsOf(comparable(before), comparable(document))
    if (fields.length === 0) return []
    return [{ action: 'update', kind, name, id: ids.get(keyOf(document)) ?? null, fields, document }]
  })
  if (!options.prune) return inOrder(changes)
  /** What a document names is named, with a document of its own or without. */
  const named = new Set(documents.flatMap((document) => [keyOf(document), ...namesIn(document)]))
  const removed = documentsOf(current)
    .filter((document) => document.kind !== 'cluster' && !named.has(keyOf(document)))
    .map(
      ({ kind, name }): Change => ({
        action: 'delete',
        kind,
        name,
        id: ids.get(`${kind}/${name}`) ?? null,
        fields: [],
        document: null,
      }),
    )
  return inOrder([...removed, ...changes])
}

/** Images made for one service alone: they come and go with it and are in no document. */
export function ownImages(current: Current): Set<string> {
  const names = new Map(current.images.map((image) => [image.id, image.data.name]))
  return new Set(
    current.services.flatMap(({ id, data }) => {
      const isOwn =
        data.imageId !== undefined && names.get(data.imageId) === repositoryOfService({ id, name: data.name })
      return isOwn && data.imageId !== undefined ? [data.imageId] : []
    }),
  )
}

/** Deletes first, so that what they held is free; what others need before what needs it. */
function inOrder(changes: readonly Change[]): Change[] {
  const order = ({ action, kind }: Change): number => {
    if (action !== 'delete') return { cluster: 1, 'external-registry': 2, image: 3, service: 4 }[kind]
    return { service: 0, image: 5, 'external-registry': 6, cluster: 7 }[kind]
  }
  return changes.toSorted((one, other) => order(one) - order(other))
}

function refuseRepeats(documents: readonly Document[]): void {
  const seen = new Set<string>()
  for (const document of documents) {
    const key = keyOf(document)
    if (seen.has(key)) throw new FreeholdError('invalid-input', `Two documents describe the ${key.replace('/', ' ')}.`)
    seen.add(key)
  }
}

function refuseUnknownNames(documents: readonly Document[], current: Current): void {
  const known = new Set([
    ...documents.map(keyOf),
    ...current.clusters.map((cluster) => `cluster/${cluster.data.name}`),
    ...current.images.map((image) => `image/${image.data.name}`),
    ...current.registries.map((registry) => `external-registry/${registry.data.name}`),
  ])
  for (const document of documents) {
    const missing = namesIn(document).find((key) => !known.has(key))
    if (missing !== undefined) {
      const sentence = `The ${document.kind} ${document.name} names the ${missing.replace('/', ' ')}, which is neither in the documents nor on the server.`
      throw new FreeholdError('not-found', sentence)
    }
  }
}

/** Keys of what a document names. */
function namesIn(document: Document): string[] {
  if (document.kind === 'service') {
    const { cluster, image } = document.spec
    return [`cluster/${cluster}`, ...(image === undefined ? [] : [`image/${image}`])]
  }
  if (document.kind !== 'image') return []
  const { location } = document.spec
  const registry = location.internal ? location.mirrorOf?.externalRegistry : location.externalRegistry
  return registry === undefined ? [] : [`external-registry/${registry}`]
}

/** A location with the name of its registry in place of the id. */
function namedLocation(location: Image['data']['location'], names: ReadonlyMap<string, string>) {
  if (location.internal) {
    if (location.mirrorOf === undefined) return location
    const { externalRegistryId: id, repository } = location.mirrorOf
    return { internal: true, mirrorOf: { externalRegistry: names.get(id) ?? id, repository } }
  }
  const { externalRegistryId: id, ...rest } = location
  return id === undefined ? rest : { ...rest, externalRegistry: names.get(id) ?? id }
}

function comparable(document: Document): unknown {
  return { labels: document.labels ?? {}, spec: document.spec }
}

/** Where two values differ: dotted paths; lists are compared whole. */
function fieldsOf(from: unknown, to: unknown, path = ''): PlanChange['fields'] {
  if (isDeepStrictEqual(from, to)) return []
  if (!isRecord(from) || !isRecord(to)) return [{ path, from: from ?? null, to: to ?? null }]
  const names = new Set([...Object.keys(from), ...Object.keys(to)])
  return [...names].flatMap((name) => fieldsOf(from[name], to[name], path === '' ? name : `${path}.${name}`))
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function shown(labels: Record<string, string>): { labels?: Record<string, string> } {
  return Object.keys(labels).length === 0 ? {} : { labels }
}

function namesById(resources: readonly { id: string; data: { name: string } }[]): Map<string, string> {
  return new Map(resources.map((resource) => [resource.id, resource.data.name]))
}

function keyOf(document: { kind: string; name: string }): string {
  return `${document.kind}/${document.name}`
}

function rank(document: { kind: string }): number {
  return ['cluster', 'external-registry', 'image', 'service'].indexOf(document.kind)
}

function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0
}

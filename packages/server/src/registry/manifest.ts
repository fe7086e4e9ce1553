import type { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { digestSchema } from '@freehold/contracts'
import { z } from 'zod'
import { RegistryError } from './errors.ts'

/** Larger manifests are refused (OCI Distribution 1.1, "Pushing Manifests", asks for at least 4 MB). */
export const manifestLimitBytes = 4 * 1024 * 1024

export const mediaTypes = {
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
} as const

const imageTypes: readonly string[] = [mediaTypes.ociManifest, mediaTypes.dockerManifest]
const indexTypes: readonly string[] = [mediaTypes.ociIndex, mediaTypes.dockerList]
const dockerTypes: readonly string[] = [mediaTypes.dockerManifest, mediaTypes.dockerList]
const configTypes: readonly string[] = [
  'application/vnd.oci.image.config.v1+json',
  'application/vnd.docker.container.image.v1+json',
]

export interface Descriptor {
  mediaType: string
  digest: string
  size: number
}

/** What the registry needs to know of a manifest. */
export interface ParsedManifest {
  mediaType: string
  /** As the referrers API shows it: of an image without one, its config's media type; of an index without one, null. */
  artifactType: string | null
  annotations: Record<string, string>
  /** The image config, where it is one that tells the platform. */
  platformConfig: Descriptor | null
  /** Config and layers, each digest once. */
  blobs: Descriptor[]
  /** Those of `blobs` that must be in the repository: all but layers that may not be distributed. */
  requiredBlobs: Descriptor[]
  /** Children of an index, each digest once. */
  manifests: Descriptor[]
  /** Platforms an index names, `os/architecture[/variant]`. */
  platforms: string[]
  subject: string | null
}

const size = z.int().min(0)
const text = z.string().max(1024)
const annotations = z
  .record(z.string(), z.string())
  .nullish()
  .transform((value) => value ?? {})
const descriptor = z.looseObject({ mediaType: text, digest: digestSchema, size })
const platform = z.looseObject({ os: text, architecture: text, variant: text.nullish() })
const common = {
  schemaVersion: z.literal(2),
  mediaType: text.nullish(),
  artifactType: text.nullish(),
  annotations,
  subject: descriptor.nullish(),
}
const imageSchema = z.looseObject({
  ...common,
  config: descriptor,
  layers: z
    .array(descriptor)
    .nullish()
    .transform((layers) => layers ?? []),
})
const indexSchema = z.looseObject({
  ...common,
  manifests: z
    .array(descriptor.extend({ platform: platform.nullish() }))
    .nullish()
    .transform((manifests) => manifests ?? []),
})

/**
 * Parses an OCI image manifest or index, or a Docker schema 2 manifest or list. `contentType` is the request's header
 * (parameters are ignored); without one the body tells its type. Throws `manifest-invalid`.
 */
export function parseManifest(bytes: Uint8Array, contentType: string | undefined): ParsedManifest {
  const body = parseJson(bytes)
  const mediaType = mediaTypeOf(body, contentType)
  if (imageTypes.includes(mediaType)) return parseImage(body, mediaType)
  if (indexTypes.includes(mediaType)) return parseIndex(body, mediaType)
  throw invalid(`The media type ${mediaType.slice(0, 200)} is none of an image manifest, an index or a manifest list.`)
}

function parseImage(body: Record<string, unknown>, mediaType: string): ParsedManifest {
  if ('manifests' in body || 'fsLayers' in body) throw invalid('An image manifest has config and layers, no others.')
  const image = parseWith(imageSchema, body)
  const blobs = distinct([image.config, ...image.layers])
  return {
    mediaType,
    artifactType: image.artifactType || image.config.mediaType,
    annotations: image.annotations,
    platformConfig: configTypes.includes(image.config.mediaType) ? image.config : null,
    blobs,
    requiredBlobs: blobs.filter((blob) => !isNonDistributable(blob.mediaType)),
    manifests: [],
    platforms: [],
    subject: image.subject?.digest ?? null,
  }
}

function parseIndex(body: Record<string, unknown>, mediaType: string): ParsedManifest {
  if ('config' in body || 'layers' in body || 'fsLayers' in body) throw invalid('An index has manifests, no layers.')
  const index = parseWith(indexSchema, body)
  const platforms = index.manifests.flatMap((child) => (child.platform ? [platformText(child.platform)] : []))
  return {
    mediaType,
    artifactType: index.artifactType || null,
    annotations: index.annotations,
    platformConfig: null,
    blobs: [],
    requiredBlobs: [],
    manifests: distinct(index.manifests),
    platforms: [...new Set(platforms)].filter((name) => !name.startsWith('unknown/')),
    subject: index.subject?.digest ?? null,
  }
}

/** Bytes of manifest, config and layers together; of an index with its children's, a shared blob counted once. */
export function contentBytes(manifest: Sized, children: readonly Sized[]): number {
  const all = [manifest, ...children]
  const blobs = new Map(all.flatMap((one) => one.blobs.map(({ digest, size }) => [digest, size] as const)))
  const manifestBytes = all.reduce((sum, { size }) => sum + size, 0)
  return [...blobs.values()].reduce((sum, size) => sum + size, manifestBytes)
}

interface Sized {
  size: number
  blobs: readonly { digest: string; size: number }[]
}

/** A config beyond this is not read. */
export const configLimitBytes = 4 * 1024 * 1024

/**
 * The platform an image's config tells (OCI Image 1.1, "Image Configuration"), in a list of one; empty where there is no
 * config, it is too large, `open` has none, or it tells none.
 */
export async function platformsOf(
  { platformConfig }: Pick<ParsedManifest, 'platformConfig'>,
  open: (config: Descriptor) => Promise<Readable | undefined>,
): Promise<string[]> {
  if (platformConfig === null || platformConfig.size > configLimitBytes) return []
  const bytes = await open(platformConfig)
  const told = bytes === undefined ? undefined : platformOfConfig(await buffer(bytes))
  return told === undefined ? [] : [told]
}

function platformOfConfig(bytes: Uint8Array): string | undefined {
  let parsed: unknown
  try {
    parsed = JSON.parse(Buffer.from(bytes).toString('utf8'))
  } catch {
    return undefined
  }
  const config = platform.safeParse(parsed)
  return config.success ? platformText(config.data) : undefined
}

function platformText(value: z.output<typeof platform>): string {
  return [value.os, value.architecture, ...(value.variant ? [value.variant] : [])].join('/')
}

/** Layers that clients leave where they are (OCI Image 1.1, "Non-Distributable Layers"; Docker's foreign layers). */
function isNonDistributable(mediaType: string): boolean {
  return (
    mediaType.startsWith('application/vnd.oci.image.layer.nondistributable.v1.') ||
    mediaType.startsWith('application/vnd.docker.image.rootfs.foreign.')
  )
}

function mediaTypeOf(body: Record<string, unknown>, contentType: string | undefined): string {
  const header = contentType?.split(';')[0]?.trim().toLowerCase() ?? ''
  const field = body.mediaType
  if (typeof field !== 'string') {
    if (dockerTypes.includes(header)) throw invalid('A Docker manifest names its mediaType.')
    if (header !== '') return header
    return 'manifests' in body ? mediaTypes.ociIndex : mediaTypes.ociManifest
  }
  if (header !== '' && header !== field) {
    throw invalid(`The Content-Type ${header.slice(0, 200)} is not the manifest's mediaType ${field.slice(0, 200)}.`)
  }
  return field
}

function parseJson(bytes: Uint8Array): Record<string, unknown> {
  let parsed: unknown
  try {
    parsed = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes))
  } catch (cause) {
    throw invalid('The manifest is not JSON in UTF-8.', cause)
  }
  if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return parsed as Record<string, unknown>
  throw invalid('The manifest is not a JSON object.')
}

function parseWith<S extends z.ZodType>(schema: S, body: unknown): z.output<S> {
  const parsed = schema.safeParse(body)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw invalid(`The manifest is wrong at ${issue?.path.join('.') || 'its root'}: ${issue?.message ?? 'unknown'}.`)
}

function distinct(descriptors: readonly Descriptor[]): Descriptor[] {
  const byDigest = new Map<string, Descriptor>()
  for (const { mediaType, digest, size: sizeBytes } of descriptors) {
    const known = byDigest.get(digest)
    if (known !== undefined && known.size !== sizeBytes) throw invalid(`It names ${digest} with two different sizes.`)
    // Where one digest is named both ways, the one that must be here counts.
    if (known === undefined || isNonDistributable(known.mediaType)) {
      byDigest.set(digest, { mediaType, digest, size: sizeBytes })
    }
  }
  return [...byDigest.values()]
}

function invalid(message: string, cause?: unknown): RegistryError {
  return new RegistryError('manifest-invalid', message, cause === undefined ? {} : { cause })
}

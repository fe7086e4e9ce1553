import { type ImageConfig, type ManifestDetail, manifestDetailSchema } from '@freehold/contracts'
import { z } from 'zod'
import { purposeOf } from './purpose.ts'

/** Layers and children of an answer, and entries of a config's lists. */
const partLimit = 200
const listLimit = 100
const textLimit = 1024

type Layer = ManifestDetail['layers'][number]
type Child = Omit<ManifestDetail['children'][number], 'present'>

/** What the bytes of a manifest tell beyond its row. */
export interface ManifestContent {
  configDigest: string | null
  layers: Layer[]
  layerCount: number
  children: Child[]
  childCount: number
}

const platform = z.looseObject({ os: z.string(), architecture: z.string(), variant: z.string().nullish() })
const annotations = z.record(z.string(), z.string()).nullish()
const descriptor = z.looseObject({
  mediaType: z.string(),
  digest: manifestDetailSchema.shape.digest,
  size: z.int(),
  annotations,
  artifactType: z.string().nullish(),
  platform: platform.nullish(),
})
const manifestSchema = z.looseObject({
  config: descriptor.nullish(),
  layers: z.array(descriptor).nullish(),
  manifests: z.array(descriptor).nullish(),
})

/** Reads the bytes of a stored manifest: it was checked when it was pushed. */
export function readContent(bytes: Uint8Array): ManifestContent {
  const manifest = manifestSchema.parse(JSON.parse(Buffer.from(bytes).toString('utf8')))
  const layers = manifest.layers ?? []
  const children = manifest.manifests ?? []
  return {
    configDigest: manifest.config?.digest ?? null,
    layers: layers.slice(0, partLimit).map((layer) => ({
      digest: layer.digest,
      mediaType: layer.mediaType,
      sizeBytes: layer.size,
      annotations: bounded(layer.annotations ?? {}),
    })),
    layerCount: layers.length,
    children: children.slice(0, partLimit).map(childOf),
    childCount: children.length,
  }
}

function childOf(child: z.output<typeof descriptor>): Child {
  const name = child.platform ? platformText(child.platform) : null
  const isAttestation = child.annotations?.['vnd.docker.reference.type'] === 'attestation-manifest'
  const told = purposeOf({
    mediaType: child.mediaType,
    artifactType: child.artifactType ?? null,
    annotations: child.annotations ?? {},
  })
  return {
    digest: child.digest,
    mediaType: child.mediaType,
    purpose: isAttestation ? 'attestation' : told === 'artifact' && name !== null ? 'image' : told,
    platform: name === null || name.startsWith('unknown/') ? null : name,
    sizeBytes: child.size,
  }
}

const texts = z.array(z.string()).nullish().catch(null)
const flags = z.record(z.string(), z.unknown()).nullish().catch(null)
const text = z.string().nullish().catch(null)
const configSchema = z.looseObject({
  os: text,
  architecture: text,
  variant: text,
  created: text,
  author: text,
  config: z
    .looseObject({
      User: text,
      WorkingDir: text,
      Entrypoint: texts,
      Cmd: texts,
      Env: texts,
      ExposedPorts: flags,
      Volumes: flags,
      Labels: z.record(z.string(), z.string()).nullish().catch(null),
    })
    .nullish()
    .catch(null),
})

/**
 * What an image config tells (OCI Image 1.1, "Image Configuration"), every list and text bounded. Of the environment
 * only the names: values are where people bake in secrets. Null where the bytes are no config.
 */
export function readConfig(bytes: Uint8Array): ImageConfig | null {
  const config = configSchema.safeParse(parsed(bytes)).data
  if (config === undefined || (!config.os && !config.config)) return null
  const run = config.config ?? {}
  return {
    platform:
      config.os && config.architecture
        ? platformText({ ...config, os: config.os, architecture: config.architecture })
        : null,
    createdAt: clip(config.created),
    author: clip(config.author),
    user: clip(run.User),
    workingDirectory: clip(run.WorkingDir),
    entrypoint: clipAll(run.Entrypoint),
    command: clipAll(run.Cmd),
    environmentNames: clipAll(run.Env?.map((entry) => entry.split('=')[0] ?? '')),
    exposedPorts: clipAll(Object.keys(run.ExposedPorts ?? {})),
    volumes: clipAll(Object.keys(run.Volumes ?? {})),
    labels: bounded(run.Labels ?? {}),
  }
}

function parsed(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'))
  } catch {
    return undefined
  }
}

/** At most a hundred entries of a kilobyte each. */
export function bounded(values: Record<string, string>): Record<string, string> {
  const entries = Object.entries(values).slice(0, listLimit)
  return Object.fromEntries(entries.map(([name, value]) => [name.slice(0, textLimit), value.slice(0, textLimit)]))
}

const clip = (value: string | null | undefined): string | null => (value ? value.slice(0, textLimit) : null)
const clipAll = (values: readonly string[] | null | undefined): string[] =>
  (values ?? []).slice(0, listLimit).map((value) => value.slice(0, textLimit))

function platformText(value: { os: string; architecture: string; variant?: string | null | undefined }): string {
  return [value.os, value.architecture, ...(value.variant ? [value.variant] : [])].join('/')
}

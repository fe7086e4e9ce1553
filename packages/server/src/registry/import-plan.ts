import { digestSchema, type ImportProgress, repositorySchema, splitImageName } from '@freehold/contracts'
import { z } from 'zod'
import { type Descriptor, mediaTypes, type ParsedManifest } from './manifest.ts'

/** What an import copies: an image elsewhere by tag or digest. */
export interface ImportSource {
  host: string
  repository: string
  /** A tag or a digest. */
  reference: string
  /** What it is called here where nobody says otherwise. */
  tag: string
}

/** Parses `docker.io/library/nginx:1.27` or `…@sha256:…` as Docker reads it; undefined for what is none. */
export function parseSource(text: string): ImportSource | undefined {
  const match = /^(?<name>[^@]+?)(?::(?<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(?:@(?<digest>[^@]+))?$/.exec(
    text,
  )?.groups
  if (match?.name === undefined) return undefined
  const { host, repository } = splitImageName(match.name)
  if (!repositorySchema.safeParse(repository).success) return undefined
  if (match.digest !== undefined && !digestSchema.safeParse(match.digest).success) return undefined
  const tag = match.tag ?? 'latest'
  return { host, repository, reference: match.digest ?? tag, tag }
}

const indexBody = z.looseObject({
  manifests: z.array(
    z.looseObject({
      digest: z.string(),
      platform: z.looseObject({ os: z.string(), architecture: z.string(), variant: z.string().nullish() }).nullish(),
    }),
  ),
})

/** Of an index, the children of these platforms; all of them where none are named. */
export interface Selection {
  children: Descriptor[]
  /** Platforms that were asked for and are not there. */
  missing: string[]
  /** What the tag will name: the index as it is, one child, or an index of the chosen ones. */
  root: { kind: 'same' } | { kind: 'child'; digest: string } | { kind: 'made'; bytes: Buffer }
}

/** Chooses among the children of an index. `linux/arm64` also means its variants. Pure. */
export function selectPlatforms(
  index: { bytes: Buffer; manifest: ParsedManifest },
  platforms: readonly string[] | undefined,
): Selection {
  const { manifest, bytes } = index
  if (platforms === undefined) return { children: manifest.manifests, missing: [], root: { kind: 'same' } }
  const body = indexBody.parse(JSON.parse(bytes.toString('utf8')))
  const entries = body.manifests.filter(({ platform }) => platforms.some((wanted) => isOf(platform, wanted)))
  const missing = platforms.filter((wanted) => !body.manifests.some(({ platform }) => isOf(platform, wanted)))
  const digests = new Set(entries.map(({ digest }) => digest))
  const children = manifest.manifests.filter(({ digest }) => digests.has(digest))
  const [only] = children
  if (children.length === manifest.manifests.length) return { children, missing, root: { kind: 'same' } }
  if (children.length === 1 && only !== undefined)
    return { children, missing, root: { kind: 'child', digest: only.digest } }
  const made = Buffer.from(JSON.stringify({ ...body, manifests: entries }))
  return { children, missing, root: { kind: 'made', bytes: made } }
}

function isOf(
  platform: { os: string; architecture: string; variant?: string | null | undefined } | null | undefined,
  wanted: string,
): boolean {
  if (!platform) return false
  const whole = [platform.os, platform.architecture, ...(platform.variant ? [platform.variant] : [])].join('/')
  return whole === wanted || whole.startsWith(`${wanted}/`)
}

/** True for manifests that name manifests. */
export function isIndex({ mediaType }: ParsedManifest): boolean {
  return mediaType === mediaTypes.ociIndex || mediaType === mediaTypes.dockerList
}

/** Counts what an import does. */
export interface Tally {
  readonly progress: Pick<ImportProgress, 'blobs' | 'bytes'>
  expect(blobs: readonly Descriptor[]): void
  present(blob: Descriptor): void
  copied(sizeBytes: number): void
}

export function createTally(): Tally {
  const blobs = { total: 0, present: 0 }
  const bytes = { total: 0, present: 0, copied: 0 }
  return {
    get progress() {
      return { blobs: { ...blobs }, bytes: { ...bytes } }
    },
    expect(expected) {
      blobs.total = expected.length
      bytes.total = expected.reduce((sum, { size }) => sum + size, 0)
    },
    present({ size }) {
      blobs.present += 1
      bytes.present += size
    },
    copied(sizeBytes) {
      bytes.copied += sizeBytes
    },
  }
}

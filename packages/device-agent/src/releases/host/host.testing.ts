/** Archives, images and manifests for the tests of host drivers. */
import { createHash } from 'node:crypto'
import { appendFile, writeFile } from 'node:fs/promises'
import { gzipSync } from 'node:zlib'
import type { ReleaseManifest } from '@freehold/contracts'
import type { HostLocks } from './host-locks.ts'
import type { ImageSource, Layer } from './image.ts'

export interface TestEntry {
  path: string
  /** The type of the header; `0` is a file. */
  type?: string
  content?: string | Buffer
  mode?: number
  linkPath?: string
  /** Written into the header in place of the content's size. */
  size?: number
}

/** A ustar archive of exactly these entries, whatever they are. */
export function archiveOf(entries: readonly TestEntry[]): Buffer {
  return Buffer.concat([...entries.flatMap(blocksOf), Buffer.alloc(1024)])
}

function blocksOf({ path, type = '0', content = '', mode = 0o644, linkPath = '', size }: TestEntry): Buffer[] {
  const bytes = Buffer.from(content)
  const header = Buffer.alloc(512)
  header.write(path, 0, 100)
  const octal = (value: number, at: number, length: number) =>
    header.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at, length, 'latin1')
  octal(mode, 100, 8)
  octal(process.getuid?.() ?? 0, 108, 8)
  octal(process.getgid?.() ?? 0, 116, 8)
  octal(size ?? bytes.length, 124, 12)
  octal(1_700_000_000, 136, 12)
  header.write(type, 156, 1, 'latin1')
  header.write(linkPath, 157, 100)
  header.write('ustar\x0000', 257, 8, 'latin1')
  header.fill(' ', 148, 156)
  octal(
    header.reduce((sum, byte) => sum + byte, 0),
    148,
    7,
  )
  return [header, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]
}

export const gzipType = 'application/vnd.oci.image.layer.v1.tar+gzip'

export function digestOf(bytes: Buffer | string): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

export interface TestImage {
  digest: string
  layers: { layer: Layer; bytes: Buffer }[]
}

/** An image of gzip layers; its digest is made up from theirs. */
export function imageOf(...layers: (readonly TestEntry[])[]): TestImage {
  const made = layers.map((entries) => {
    const bytes = gzipSync(archiveOf(entries))
    return { bytes, layer: { digest: digestOf(bytes), sizeBytes: bytes.length, mediaType: gzipType } }
  })
  return { digest: digestOf(made.map(({ layer }) => layer.digest).join()), layers: made }
}

/** Gives images from memory, in two pieces with a break between. */
export function sourceOf(images: readonly TestImage[]): ImageSource {
  return {
    layers: async ({ digest }) => {
      const image = images.find((candidate) => candidate.digest === digest)
      if (!image) throw new Error(`There is no image ${digest}.`)
      return image.layers.map(({ layer }) => layer)
    },
    fetch: async ({ blob, path, onBytes }) => {
      const found = images.flatMap(({ layers }) => layers).find(({ layer }) => layer.digest === blob.digest)
      if (!found) throw new Error(`There is no blob ${blob.digest}.`)
      await writeFile(path, found.bytes.subarray(0, 100))
      await appendFile(path, found.bytes.subarray(100))
      onBytes(found.bytes.length)
    },
  }
}

/** A root with many files that all say its version, so that a half-filled one is seen. */
export function rootImage(version: string, files = 12): TestImage {
  const entries = Array.from({ length: files }, (_, index) => ({
    path: `usr/share/part-${index}`,
    content: `${version}\n`,
  }))
  const release = { path: 'etc/os-release', content: `NAME="BaseOS"\nVERSION_ID="${version}"\n` }
  return imageOf([{ path: 'usr/', type: '5', mode: 0o755 }, ...entries], [release])
}

export function hostManifest(options: {
  version: string
  digest: string
  minimumVersion?: string | null
  releaseId?: string
}): ReleaseManifest {
  const { version, digest, minimumVersion = null, releaseId = `release-${version}` } = options
  return {
    schemaVersion: 1,
    releaseId,
    product: 'baseos',
    version,
    type: 'host',
    deviceTypes: [],
    services: [],
    host: {
      deviceType: 'generic-amd64',
      hostapp: { repository: 'baseos/hostapp', digest },
      baserunner: null,
      minimumVersion,
      licenseBundle: null,
    },
  }
}

export const noLocks: HostLocks = { take: async () => {}, release: async () => {} }

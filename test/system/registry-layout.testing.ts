import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { tar } from './lab/index.ts'

export interface Descriptor {
  mediaType: string
  digest: string
  size: number
  platform?: { os: string; architecture: string }
  annotations?: Record<string, string>
}

export const layoutTypes = {
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
}

/** An OCI image layout on the disk (OCI Image 1.1, "Image Layout"), filled blob by blob. */
export interface Layout {
  path: string
  add(content: Buffer | string | object, mediaType: string): Promise<Descriptor>
  /** Adds an image of one layer with one file. */
  addImage(platform: { os: string; architecture: string }, text: string): Promise<Descriptor>
  /** Makes the descriptor what `oci:<path>:latest` names. */
  close(root: Descriptor): Promise<void>
}

export async function createLayout(path: string): Promise<Layout> {
  await mkdir(join(path, 'blobs', 'sha256'), { recursive: true })
  const add: Layout['add'] = async (content, mediaType) => {
    const bytes = Buffer.from(
      typeof content === 'string' || Buffer.isBuffer(content) ? content : JSON.stringify(content),
    )
    const hex = createHash('sha256').update(bytes).digest('hex')
    await writeFile(join(path, 'blobs', 'sha256', hex), bytes)
    return { mediaType, digest: `sha256:${hex}`, size: bytes.length }
  }
  return {
    path,
    add,
    async addImage(platform, text) {
      const files = tar([{ path: 'greeting', content: text }])
      const diffIds = [`sha256:${createHash('sha256').update(files).digest('hex')}`]
      const config = { ...platform, config: {}, rootfs: { type: 'layers', diff_ids: diffIds } }
      const manifest = {
        schemaVersion: 2,
        mediaType: layoutTypes.manifest,
        config: await add(config, layoutTypes.config),
        layers: [await add(gzipSync(files), layoutTypes.layer)],
      }
      return { ...(await add(manifest, layoutTypes.manifest)), platform }
    },
    async close(root) {
      const named = { ...root, annotations: { 'org.opencontainers.image.ref.name': 'latest' } }
      await writeFile(join(path, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [named] }))
      await writeFile(join(path, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }))
    },
  }
}

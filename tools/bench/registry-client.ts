import { createHash, randomBytes } from 'node:crypto'
import { type Answer, type Asked, Connection } from './registry-connection.ts'

/** Bytes as blocks that may repeat, so that large content costs little memory. */
export interface Content {
  digest: string
  sizeBytes: number
  blocks: readonly Buffer[]
}

export interface Image {
  layers: readonly Content[]
  config: Content
  manifest: Content
}

const manifestType = 'application/vnd.oci.image.manifest.v1+json'
const blockBytes = 1024 * 1024
const distinctBlocks = 8

/** New contents nobody has seen, each a whole number of MiB. They differ in their last block alone. */
export function createContents(options: { count: number; mebibytes: number }): Content[] {
  const random = Array.from({ length: distinctBlocks }, () => randomBytes(blockBytes))
  const common = Array.from(
    { length: options.mebibytes - 1 },
    (_, index) => random[index % distinctBlocks] ?? Buffer.of(),
  )
  const hash = createHash('sha256')
  for (const block of common) hash.update(block)
  return Array.from({ length: options.count }, () => {
    const last = randomBytes(blockBytes)
    const digest = `sha256:${hash.copy().update(last).digest('hex')}`
    return { digest, sizeBytes: options.mebibytes * blockBytes, blocks: [...common, last] }
  })
}

export function createImage(options: { layers: number; layerMebibytes: number }): Image {
  const layers = createContents({ count: options.layers, mebibytes: options.layerMebibytes })
  const diffIds = layers.map(({ digest }) => digest)
  const config = textContent({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: diffIds } })
  const descriptor = (mediaType: string, { digest, sizeBytes }: Content) => ({ mediaType, digest, size: sizeBytes })
  const manifest = textContent({
    schemaVersion: 2,
    mediaType: manifestType,
    config: descriptor('application/vnd.oci.image.config.v1+json', config),
    layers: layers.map((layer) => descriptor('application/vnd.oci.image.layer.v1.tar', layer)),
  })
  return { layers, config, manifest }
}

function textContent(value: unknown): Content {
  const text = Buffer.from(JSON.stringify(value))
  const digest = `sha256:${createHash('sha256').update(text).digest('hex')}`
  return { digest, sizeBytes: text.length, blocks: [text] }
}

/** A registry, ours or another, and how one signs in there. */
export interface Registry {
  name: string
  url: string
  pid: number
  /** Headers that let everything in for the next minutes. */
  authorize(repository: string): Promise<Record<string, string>>
  /**
   * Takes a blob off the disk behind the registry's back, so that its room is used again: a virtual disk and a virtual
   * machine's memory are slow where they were never touched, and that is not to be measured.
   */
  removeBytes(content: Content): Promise<void>
}

/** Several connections to one repository of a registry, as a client keeps them. */
export class Session {
  readonly #repository: string
  readonly #headers: Record<string, string>
  readonly #connections: Connection[]

  private constructor(repository: string, headers: Record<string, string>, connections: Connection[]) {
    this.#repository = repository
    this.#headers = headers
    this.#connections = connections
  }

  static async open(registry: Registry, options: { repository: string; connections: number }): Promise<Session> {
    const headers = await registry.authorize(options.repository)
    const opening = Array.from({ length: options.connections }, () => Connection.open(registry.url))
    return new Session(options.repository, headers, await Promise.all(opening))
  }

  close(): void {
    for (const connection of this.#connections) connection.close()
  }

  /** Pushes all, as many at a time as there are connections: POST, PATCH with the bytes, PUT with the digest. */
  async pushBlobs(contents: readonly Content[]): Promise<void> {
    await this.#share(contents, async (connection, { blocks, digest }) => {
      const { headers } = await this.#ask(connection, 202, { method: 'POST', path: '/blobs/uploads/' })
      const begun = pathOf(headers.location)
      const type = { 'content-type': 'application/octet-stream' }
      const sent = await this.#ask(connection, 202, { method: 'PATCH', path: begun, blocks, headers: type })
      const path = `${pathOf(sent.headers.location)}`
      const query = `${path.includes('?') ? '&' : '?'}digest=${encodeURIComponent(digest)}`
      await this.#ask(connection, 201, { method: 'PUT', path: `${path}${query}` })
    })
  }

  async pushManifest(manifest: Content, tag: string): Promise<void> {
    await this.#share([manifest], async (connection, { blocks }) => {
      const headers = { 'content-type': manifestType }
      await this.#ask(connection, 201, { method: 'PUT', path: `/manifests/${tag}`, blocks, headers })
    })
  }

  async pullBlobs(contents: readonly Content[]): Promise<void> {
    await this.#share(contents, async (connection, { digest, sizeBytes }) => {
      const { bodyBytes } = await this.#ask(connection, 200, { method: 'GET', path: `/blobs/${digest}` })
      if (bodyBytes !== sizeBytes) throw new Error(`${digest} came back with ${bodyBytes} bytes.`)
    })
  }

  async pullManifest(tag: string, expected: Content): Promise<void> {
    await this.#share([tag], (connection) => this.#pullManifest(connection, tag, expected))
  }

  /** Asks for a manifest on every connection again and again, and answers how often in all. */
  async repeatManifest(tag: string, options: { expected: Content; forMs: number }): Promise<number> {
    const endsAt = performance.now() + options.forMs
    let count = 0
    await this.#share(this.#connections, async (connection) => {
      while (performance.now() < endsAt) {
        await this.#pullManifest(connection, tag, options.expected)
        count += 1
      }
    })
    return count
  }

  /** Reads a blob back and compares its digest. */
  async verify({ digest }: Content): Promise<void> {
    await this.#share([digest], async (connection) => {
      const { body } = await this.#ask(connection, 200, { method: 'GET', path: `/blobs/${digest}`, keep: true })
      const found = `sha256:${createHash('sha256')
        .update(body ?? '')
        .digest('hex')}`
      if (found !== digest) throw new Error(`${digest} came back as ${found}.`)
    })
  }

  async #pullManifest(connection: Connection, tag: string, expected: Content): Promise<void> {
    const headers = { accept: manifestType }
    const answer = await this.#ask(connection, 200, { method: 'GET', path: `/manifests/${tag}`, headers })
    if (answer.headers['docker-content-digest'] !== expected.digest) throw new Error('The tag names another manifest.')
  }

  async #ask(connection: Connection, status: number, asked: Asked): Promise<Answer> {
    const path = asked.path.startsWith('/v2/') ? asked.path : `/v2/${this.#repository}${asked.path}`
    const answer = await connection.ask({ ...asked, path, headers: { ...this.#headers, ...asked.headers } })
    if (answer.status !== status) throw new Error(`${asked.method} ${path} answered ${answer.status}.`)
    return answer
  }

  async #share<T>(items: readonly T[], work: (connection: Connection, item: T) => Promise<void>): Promise<void> {
    let next = 0
    await Promise.all(
      this.#connections.map(async (connection) => {
        while (next < items.length) {
          const item = items[next]
          next += 1
          if (item !== undefined) await work(connection, item)
        }
      }),
    )
  }
}

function pathOf(location: string | undefined): string {
  if (location === undefined) throw new Error('The registry did not say where the upload goes on.')
  const { pathname, search } = new URL(location, 'http://localhost')
  return `${pathname}${search}`
}

import type { BlobStore, ByteRange } from '@freehold/blobs'
import type { Store } from '@freehold/store'
import type { Damage } from './damage.ts'
import { RegistryError } from './errors.ts'
import { type Exchange, isKnown, sendEmpty } from './exchange.ts'
import { parseRange } from './ranges.ts'
import { unlinkBlob } from './removal.ts'
import { findLink, renewLink } from './repository.ts'

interface Target {
  repository: string
  digest: string
}

/** Pulling and deleting blobs (OCI Distribution 1.1, end-2, end-10). */
export function createBlobRoutes(options: {
  store: Store
  blobs: BlobStore
  damage: Pick<Damage, 'suspect'>
  idleTimeoutMs: number
}) {
  const { store, blobs } = options

  async function get(exchange: Exchange, { repository, digest }: Target): Promise<void> {
    const { request, response, visitor } = exchange
    if (request.method === 'HEAD') await renewLink(store, visitor.actor, { repository, digest })
    const sizeBytes = await sizeOf(repository, digest)
    const etag = `"${digest}"`
    const headers = {
      'docker-content-digest': digest,
      etag,
      'accept-ranges': 'bytes',
      'cache-control': 'private, max-age=31536000, immutable',
    }
    if (isKnown(request, etag)) {
      response.writeHead(304, headers)
      response.end()
      return
    }
    const range = request.method === 'GET' && mayBeRanged(request, etag) ? request.headers.range : undefined
    const part = parseRange(range, sizeBytes)
    if (part === 'unsatisfiable') {
      throw new RegistryError('range-unsatisfiable', `The blob has ${sizeBytes} bytes.`, {
        headers: { 'content-range': `bytes */${sizeBytes}` },
      })
    }
    if (request.method === 'GET' && blobs.locate !== undefined) {
      // The client repeats its request there, its range included; the address is no longer good when it is asked again.
      sendEmpty(exchange, 307, {
        location: await blobs.locate(digest),
        'docker-content-digest': digest,
        'cache-control': 'no-store',
      })
      return
    }
    const whole = part === 'whole'
    const lengthBytes = whole ? sizeBytes : part.end - part.start + 1
    response.writeHead(whole ? 200 : 206, {
      'content-type': 'application/octet-stream',
      'content-length': lengthBytes,
      ...headers,
      ...(whole ? {} : { 'content-range': `bytes ${part.start}-${part.end}/${sizeBytes}` }),
    })
    if (request.method === 'GET' && lengthBytes > 0) {
      response.setTimeout(options.idleTimeoutMs, () => response.destroy())
      await send(response, digest, whole ? { start: 0, end: sizeBytes - 1 } : part)
    }
    response.end()
  }

  /** Where bytes cannot be read to their end the connection breaks off, so that nobody takes the part for the whole. */
  async function send(response: Exchange['response'], digest: string, part: ByteRange): Promise<void> {
    try {
      await blobs.send(digest, response, part)
    } catch (error) {
      if (!response.destroyed) options.damage.suspect(digest)
      throw error
    }
  }

  /**
   * A link says it may be read here; the blob store says it can be. Bytes of another length than the link says are not
   * there either, and are looked at. Throws `blob-unknown`: clients that hear that push the blob again, which heals it.
   */
  async function sizeOf(repository: string, digest: string): Promise<number> {
    const [link, stat] = await Promise.all([findLink(store, repository, digest), blobs.stat(digest)])
    if (link !== undefined && stat !== undefined && stat.sizeBytes === link.data.size) return stat.sizeBytes
    if (link !== undefined) {
      options.damage.suspect(digest)
      throw new RegistryError('blob-unknown', `The stored bytes of ${digest} are damaged; push it again to heal it.`)
    }
    throw new RegistryError('blob-unknown', `${repository} has no blob ${digest}.`)
  }

  async function remove(exchange: Exchange, { repository, digest }: Target): Promise<void> {
    await unlinkBlob(store, exchange.visitor.actor, repository, digest)
    sendEmpty(exchange, 202, {})
  }

  return { get, remove }
}

/** A range counts only for the very entity the client has the rest of (RFC 9110 §13.1.5). */
function mayBeRanged(request: Exchange['request'], etag: string): boolean {
  const condition = request.headers['if-range']
  return condition === undefined || condition === etag
}

import type { ServerResponse } from 'node:http'
import { PassThrough, type Readable } from 'node:stream'
import type { BlobStore } from '@freehold/blobs'
import type { Store } from '@freehold/store'
import type { RegistryClient } from '../external-registries/index.ts'
import { createSemaphore, type Semaphore } from '../semaphore.ts'
import type { DigestGuard } from './digest-guard.ts'
import { RegistryError } from './errors.ts'
import { type Exchange, sendEmpty } from './exchange.ts'
import { awayError, isMissing, mirrorActor } from './mirror-manifests.ts'
import type { MirrorSource, Mirrors } from './mirrors.ts'
import type { Quota } from './quota.ts'
import { findLink, linkMirroredBlob } from './repository.ts'

interface Target {
  repository: string
  digest: string
}

/** Blobs fetched at once from one registry; more wait for their turn. One that drips holds up no other. */
const fetchesAtOnce = 16
/** What a slow client may be behind the fetch before it gets the rest from the disk. */
const behindLimitBytes = 8 * 1024 * 1024
const headLimitMs = 20_000

/** One blob on its way here, and the clients that get it while it comes. */
interface Fetch {
  sizeBytes: number
  /** Settles when the blob is stored, verified and linked, or is not. */
  stored: Promise<void>
  join(client: Follower): void
}

/** Takes pieces as they come; false once it wants no more. */
interface Follower {
  take(piece: Buffer): boolean
}

/**
 * Blobs of mirrors, fetched when they are first wanted. Invariants:
 * - Those who want the same blob at the same time share one fetch.
 * - A client gets bytes as they come, but never the last one before all of them are verified, stored and linked; what
 *   turns out wrong is broken off, so that nobody takes it as whole.
 * - A slow client holds nobody up: what it missed it gets from the disk afterwards.
 * - A fetch goes on when its client leaves; the next one has it.
 */
export function createMirrorBlobs(options: {
  store: Store
  blobs: BlobStore
  guard: DigestGuard
  quota: Quota
  mirrors: Mirrors
  clientOf: (source: MirrorSource) => Promise<RegistryClient>
  idleTimeoutMs: number
  onProblem: (error: unknown, target: Target) => void
}) {
  const { store, blobs, guard, quota, mirrors, clientOf } = options
  const fetches = new Map<string, Promise<Fetch>>()
  const turns = new Map<string, Semaphore>()

  /** Answers a request for a blob that is not here yet; false where it is for the usual way to answer. */
  async function serve(exchange: Exchange, target: Target): Promise<boolean> {
    const source = await mirrors.sourceOf(target.repository)
    if (source === undefined || (await isHere(target))) return false
    try {
      return await serveMissing(exchange, target, source)
    } catch (error) {
      if (isMissing(error)) return false
      throw awayError(error, target.repository)
    }
  }

  async function serveMissing(exchange: Exchange, target: Target, source: MirrorSource): Promise<boolean> {
    const { request, response } = exchange
    if (request.method === 'HEAD' && !fetches.has(keyOf(target))) {
      const signal = AbortSignal.timeout(headLimitMs)
      const sizeBytes = await (await clientOf(source)).blobSize(source.repository, target.digest, signal)
      if (sizeBytes === undefined) return false
      sendEmpty(exchange, 200, headersOf(target, sizeBytes))
      return true
    }
    const fetch = await begin(target, source)
    if (request.method === 'HEAD') {
      sendEmpty(exchange, 200, headersOf(target, fetch.sizeBytes))
      return true
    }
    if (request.headers.range !== undefined || request.headers['if-none-match'] !== undefined) {
      await fetch.stored
      return false
    }
    response.writeHead(200, { 'content-type': 'application/octet-stream', ...headersOf(target, fetch.sizeBytes) })
    response.flushHeaders()
    await follow(response, fetch, target)
    return true
  }

  /** Sends what comes, then what was missed, and ends only what is whole. */
  async function follow(response: ServerResponse, fetch: Fetch, target: Target): Promise<void> {
    let sentBytes = 0
    fetch.join({
      take(piece) {
        if (response.destroyed) return false
        const mostBytes = fetch.sizeBytes - 1 - sentBytes
        const part = piece.length > mostBytes ? piece.subarray(0, mostBytes) : piece
        if (part.length === 0) return false
        sentBytes += part.length
        response.write(part)
        return part.length === piece.length && response.writableLength <= behindLimitBytes
      },
    })
    try {
      await fetch.stored
      if (response.destroyed) return
      response.setTimeout(options.idleTimeoutMs, () => response.destroy())
      if (fetch.sizeBytes > sentBytes) {
        await blobs.send(target.digest, response, { start: sentBytes, end: fetch.sizeBytes - 1 })
      }
      response.end()
    } catch (error) {
      // The head is out: only a connection that breaks tells the client that this is not the blob.
      if (!response.destroyed) options.onProblem(error, target)
      response.destroy()
    }
  }

  /** The fetch of this blob for this repository, begun where there is none. Throws before any byte where there is no blob. */
  async function begin(target: Target, source: MirrorSource): Promise<Fetch> {
    const key = keyOf(target)
    const known = fetches.get(key)
    if (known !== undefined) return known
    const begun = start(target, source)
    fetches.set(key, begun)
    const forget = () => void fetches.delete(key)
    begun.then((fetch) => fetch.stored.then(forget, forget), forget)
    return begun
  }

  async function start(target: Target, source: MirrorSource): Promise<Fetch> {
    const leave = await turnsOf(source).enter()
    try {
      const client = await clientOf(source)
      const signal = new AbortController().signal
      if ((await blobs.stat(target.digest)) !== undefined) return await linkKnown(target, { source, client, leave })
      const { sizeBytes, bytes } = await client.blob(source.repository, target.digest, signal)
      const release = await reserve({ ...target, sizeBytes }).catch((error: unknown) => {
        bytes.destroy()
        throw error
      })
      return receive(target, {
        sizeBytes,
        bytes,
        leave: () => {
          release()
          leave()
        },
      })
    } catch (error) {
      leave()
      throw error
    }
  }

  /**
   * What would not fit is refused while there is still an answer to say so in. The room is kept until `release`, so that
   * many fetches at once do not pass the quota together.
   */
  async function reserve({ sizeBytes, ...target }: Target & { sizeBytes: number }): Promise<() => void> {
    const admitted = Promise.withResolvers<void>()
    const over = Promise.withResolvers<void>()
    const work = () => {
      admitted.resolve()
      return over.promise
    }
    quota.reserve({ ...target, sizeBytes: async () => sizeBytes }, work).catch(admitted.reject)
    await admitted.promise
    return over.resolve
  }

  function turnsOf({ externalRegistryId }: MirrorSource): Semaphore {
    const known = turns.get(externalRegistryId) ?? createSemaphore(fetchesAtOnce)
    turns.set(externalRegistryId, known)
    return known
  }

  /** The bytes came with another repository. Whether they are this one's too is its registry's to say. */
  async function linkKnown(
    target: Target,
    { source, client, leave }: { source: MirrorSource; client: RegistryClient; leave: () => void },
  ): Promise<Fetch> {
    const there = await client.blobSize(source.repository, target.digest, AbortSignal.timeout(headLimitMs))
    if (there === undefined)
      throw new RegistryError('blob-unknown', `${target.repository} has no blob ${target.digest}.`)
    const stored = guard.hold(target.digest, async () => {
      const here = await blobs.stat(target.digest)
      if (here === undefined) throw new RegistryError('unavailable', 'The blob was just removed; try again.')
      await linkMirroredBlob(store, mirrorActor, { ...target, sizeBytes: here.sizeBytes, limits: quota.limits })
    })
    stored.then(leave, leave)
    return { sizeBytes: there, stored, join: () => {} }
  }

  function receive(
    target: Target,
    { sizeBytes, bytes, leave }: { sizeBytes: number; bytes: Readable; leave: () => void },
  ): Fetch {
    const followers = new Set<Follower>()
    let hasBegun = false
    const tee = new PassThrough()
    // Both who fill it and who empty it tell of its failure; it needs nobody to listen.
    tee.on('error', () => {})
    const pump = async () => {
      for await (const piece of bytes as AsyncIterable<Buffer>) {
        hasBegun = true
        for (const follower of followers) if (!follower.take(piece)) followers.delete(follower)
        if (!tee.write(piece)) await drained(tee)
      }
      tee.end()
    }
    const stored = guard.hold(target.digest, async () => {
      // The last byte goes out only after this, so that a mismatch is never taken as whole.
      const [put] = await Promise.all([
        blobs.put(target.digest, tee).catch((error: unknown) => {
          bytes.destroy()
          tee.destroy()
          throw error
        }),
        pump().catch((error: unknown) => {
          tee.destroy(error instanceof Error ? error : new Error(String(error)))
          throw error
        }),
      ])
      await linkMirroredBlob(store, mirrorActor, { ...target, sizeBytes: put.sizeBytes, limits: quota.limits })
    })
    stored.then(leave, leave)
    return {
      sizeBytes,
      stored,
      join(follower) {
        if (!hasBegun) followers.add(follower)
      },
    }
  }

  async function isHere({ repository, digest }: Target): Promise<boolean> {
    const [link, stat] = await Promise.all([findLink(store, repository, digest), blobs.stat(digest)])
    return link !== undefined && stat?.sizeBytes === link.data.size
  }

  return { serve }
}

const keyOf = ({ repository, digest }: Target) => `${repository}@${digest}`

function headersOf({ digest }: Target, sizeBytes: number): Record<string, string> {
  return {
    'content-length': String(sizeBytes),
    'docker-content-digest': digest,
    etag: `"${digest}"`,
    'accept-ranges': 'bytes',
    'cache-control': 'private, max-age=31536000, immutable',
  }
}

function drained(stream: PassThrough): Promise<void> {
  return new Promise((resolve, reject) => {
    const finish = (error?: Error | null) => {
      stream.off('drain', finish).off('close', closed).off('error', finish)
      if (error) reject(error)
      else resolve()
    }
    const closed = () => finish(new Error('The blob store took no more.'))
    stream.on('drain', finish).on('close', closed).on('error', finish)
  })
}

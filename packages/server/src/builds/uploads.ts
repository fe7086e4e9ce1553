import type { IncomingMessage, ServerResponse } from 'node:http'
import { pipeline, type Readable, Transform } from 'node:stream'
import { BlobError, type BlobStore } from '@freehold/blobs'
import {
  FreeholdError,
  partialUploadType,
  reprDigestHeader,
  sha256OfReprDigest,
  uploadCompleteHeader,
  uploadOffsetHeader,
} from '@freehold/contracts'

/** Bytes on their way here, to one known address. */
export interface UploadTarget {
  /** The upload of the blob store that holds them; null: none was begun. */
  uploadId: string | null
  /** What is kept once all of it is there. */
  done: { digest: string; sizeBytes: number } | null
  /** The only digest that is taken, in hexadecimal; null: any. */
  sha256: string | null
  limitBytes: number
  /** That this machine had no room for a part of it. */
  wasOutOfSpace?: boolean
  /** An upload of the store began or ended; durable when it resolves. */
  onChange?(): Promise<void>
  /** All bytes are there and have this digest. `finish` makes them a blob; whoever names it does so before this resolves. */
  onComplete(sha256: string, finish: () => Promise<{ sizeBytes: number }>): Promise<void>
}

const idleMs = 60_000
const inNoTime = () => {}

/**
 * The server's side of `resumable-uploads.ts`. One request at a time adds to a target: a newer one ends the older, whose
 * connection is most likely dead, and goes on where that stood.
 */
export function createUploads({ blobs }: { blobs: BlobStore }) {
  const running = new WeakMap<UploadTarget, { end: () => void; ended: Promise<void> }>()
  const dropped = new WeakSet<UploadTarget>()

  /** Runs `work` when nobody else is at the target, whoever is there now being ended first. `end` ends `work`. */
  async function alone<Result>(target: UploadTarget, end: () => void, work: () => Promise<Result>): Promise<Result> {
    for (let other = running.get(target); other !== undefined; other = running.get(target)) {
      other.end()
      await other.ended
    }
    // From here on without a pause: of those that waited together, one alone may find it free.
    const { promise, resolve } = Promise.withResolvers<void>()
    running.set(target, { end, ended: promise })
    try {
      return await work()
    } finally {
      running.delete(target)
      resolve()
    }
  }

  /** Also where the upload was swept meanwhile. */
  async function offsetOf(target: UploadTarget): Promise<number> {
    if (target.done !== null) return target.done.sizeBytes
    if (target.uploadId === null) return 0
    try {
      return (await blobs.uploadStatus(target.uploadId)).sizeBytes
    } catch (error) {
      if (!(error instanceof BlobError) || error.code !== 'upload-unknown') throw error
      target.uploadId = null
      return 0
    }
  }

  async function status(target: UploadTarget, response: ServerResponse): Promise<void> {
    const offset = await offsetOf(target)
    answer(response, { offset, isComplete: target.done !== null })
  }

  async function append(target: UploadTarget, request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (dropped.has(target)) throw new FreeholdError('conflict', 'Nothing is taken for this image any more.')
    const { headers } = request
    const given = numberOf(headers[uploadOffsetHeader])
    const offset = await offsetOf(target)
    response.setHeader(uploadOffsetHeader, offset)
    if (target.done !== null) throw new FreeholdError('conflict', 'All of it is here already.')
    if (given === undefined) throw new FreeholdError('invalid-input', 'PATCH needs Upload-Offset, a number of bytes.')
    if (given !== offset) throw new FreeholdError('conflict', `${offset} bytes are here: go on there.`)
    const hasBody = headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
    if (hasBody && headers['content-type']?.split(';')[0]?.trim() !== partialUploadType) {
      throw new FreeholdError('unsupported-media-type', `The content type of a part is ${partialUploadType}.`)
    }
    const sizeBytes = hasBody ? await receive(target, offset, request) : offset
    response.setHeader(uploadOffsetHeader, sizeBytes)
    const isLast = headers[uploadCompleteHeader] === '?1'
    if (isLast) await complete(target, request, response)
    answer(response, { offset: sizeBytes, isComplete: isLast })
  }

  async function receive(target: UploadTarget, offset: number, request: IncomingMessage): Promise<number> {
    const announced = Number(request.headers['content-length'] ?? 0)
    if (offset + announced > target.limitBytes) throw tooLarge(target)
    if (target.uploadId === null) {
      target.uploadId = await blobs.createUpload()
      await target.onChange?.()
    }
    const id = target.uploadId
    const stalled = () => request.destroy(new Error('The client sent nothing for a minute.'))
    request.setTimeout(idleMs, stalled)
    try {
      const { sizeBytes } = await blobs.appendUpload(
        id,
        offset,
        ...sourceOf(request, tooLarge(target), target.limitBytes - offset),
      )
      target.wasOutOfSpace = false
      return sizeBytes
    } catch (error) {
      if (error instanceof FreeholdError) await forget(target)
      if (error instanceof BlobError && error.code === 'storage-full') target.wasOutOfSpace = true
      throw error
    } finally {
      request.removeListener('timeout', stalled)
      if (!request.destroyed) request.setTimeout(0)
    }
  }

  async function complete(target: UploadTarget, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const header = request.headers[reprDigestHeader]
    const sha256 = sha256OfReprDigest(Array.isArray(header) ? header.join(',') : header)
    if (sha256 === undefined) {
      throw new FreeholdError('invalid-input', 'The last part needs Repr-Digest: sha-256=:…: of the whole (RFC 9530).')
    }
    if (target.uploadId === null) throw new FreeholdError('invalid-input', 'There is nothing yet: an image has bytes.')
    if (target.sha256 !== null && target.sha256 !== sha256) {
      await restart(target, response)
      throw new FreeholdError('invalid-input', `Its sha256 must be ${target.sha256}. It was dropped: begin at 0.`)
    }
    const id = target.uploadId
    try {
      await target.onComplete(sha256, async () => {
        const { sizeBytes } = await blobs.finishUpload(id, `sha256:${sha256}`)
        target.done = { digest: `sha256:${sha256}`, sizeBytes }
        target.uploadId = null
        return { sizeBytes }
      })
    } catch (error) {
      if (!(error instanceof BlobError) || error.code !== 'digest-mismatch') throw error
      target.uploadId = null
      response.setHeader(uploadOffsetHeader, 0)
      throw new FreeholdError(
        'invalid-input',
        'Its bytes have another sha256 than Repr-Digest. It was dropped: begin at 0.',
      )
    }
    await target.onChange?.()
  }

  async function restart(target: UploadTarget, response: ServerResponse): Promise<void> {
    await forget(target)
    await target.onChange?.()
    response.setHeader(uploadOffsetHeader, 0)
  }

  /** Drops what is kept of it; a whole blob is the caller's. */
  async function forget(target: UploadTarget): Promise<void> {
    const id = target.uploadId
    target.uploadId = null
    if (id === null) return
    try {
      await blobs.cancelUpload(id)
    } catch (error) {
      // What cannot be dropped now is swept once it is idle.
      if (!(error instanceof BlobError)) throw error
    }
  }

  return {
    /** Answers HEAD, PATCH and DELETE. Throws what the door's mapper turns into an error body. */
    async handle(target: UploadTarget, request: IncomingMessage, response: ServerResponse): Promise<void> {
      switch (request.method) {
        case 'HEAD':
          return alone(target, inNoTime, () => status(target, response))
        case 'PATCH':
          return alone(
            target,
            () => request.destroy(),
            () => append(target, request, response),
          )
        case 'DELETE':
          return alone(target, inNoTime, async () => {
            if (target.done !== null)
              throw new FreeholdError('conflict', 'All of it is here; there is nothing to drop.')
            await forget(target)
            await target.onChange?.()
            response.writeHead(204).end()
          })
        default:
          response.setHeader('allow', 'HEAD, PATCH, DELETE')
          throw new FreeholdError('method-not-allowed', 'An upload takes HEAD, PATCH and DELETE.')
      }
    },
    /** Ends what is under way and drops it, for good: nothing is taken for the target any more. */
    async drop(target: UploadTarget): Promise<void> {
      dropped.add(target)
      await alone(target, inNoTime, () => forget(target))
    },
  }
}
export type Uploads = ReturnType<typeof createUploads>

function answer(response: ServerResponse, { offset, isComplete }: { offset: number; isComplete: boolean }): void {
  response.writeHead(204, {
    [uploadOffsetHeader]: offset,
    [uploadCompleteHeader]: isComplete ? '?1' : '?0',
    'cache-control': 'no-store',
  })
  response.end()
}

/** The body as the blob store takes it. One that does not say how long it is ends with the error where it gets too long. */
function sourceOf(
  request: IncomingMessage,
  tooLong: FreeholdError,
  limitBytes: number,
): [source: Readable, options: { disposable: boolean }] {
  if (request.headers['transfer-encoding'] === undefined) return [request, { disposable: true }]
  let sizeBytes = 0
  const counted = new Transform({
    transform(chunk: Buffer, _, done) {
      sizeBytes += chunk.length
      if (sizeBytes > limitBytes) done(tooLong)
      else done(null, chunk)
    },
  })
  return [pipeline(request, counted, inNoTime), { disposable: false }]
}

function numberOf(header: string | string[] | undefined): number | undefined {
  return typeof header === 'string' && /^\d{1,15}$/.test(header) ? Number(header) : undefined
}

function tooLarge({ limitBytes }: UploadTarget): FreeholdError {
  return new FreeholdError('body-too-large', `An image has at most ${limitBytes} bytes.`)
}

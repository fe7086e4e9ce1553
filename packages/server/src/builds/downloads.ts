import type { IncomingMessage, ServerResponse } from 'node:http'
import { pipeline } from 'node:stream/promises'
import { FreeholdError, reprDigestOf } from '@freehold/contracts'
import { parseRange } from '../registry/index.ts'
import type { ImageBytes } from './bytes.ts'
import type { Artifact } from './kind.ts'

/** A file to be sent. */
export interface Served {
  location: NonNullable<Artifact['location']>
  sha256: string
  sizeBytes: number
  filename: string
  contentType: string
  /** Whether the client may be sent to the store the bytes are in. */
  mayRedirect: boolean
}

const slowClientMs = 120_000

/** Answers GET and HEAD of a file: ranges, conditions (RFC 9110 §13, §14), a name for people and the digest of the whole. */
export async function serveFile(
  request: IncomingMessage,
  response: ServerResponse,
  { file, bytes }: { file: Served; bytes: ImageBytes },
): Promise<void> {
  const { location, sha256, sizeBytes, filename, contentType } = file
  const etag = `"${sha256}"`
  const isHead = request.method === 'HEAD'
  response.setHeader('etag', etag)
  response.setHeader('accept-ranges', 'bytes')
  response.setHeader('cache-control', 'private, no-cache')
  if (isKnown(request.headers['if-none-match'], etag)) {
    response.writeHead(304).end()
    return
  }
  const part = isHead || !mayBeRanged(request, etag) ? 'whole' : parseRange(request.headers.range, sizeBytes)
  if (part === 'unsatisfiable') {
    response.writeHead(416, { 'content-range': `bytes */${sizeBytes}`, 'content-length': 0 }).end()
    return
  }
  if ((await bytes.sizeOf(location)) !== sizeBytes) throw bytesGone()
  const elsewhere = isHead || !file.mayRedirect ? undefined : await bytes.locate(location, { filename, contentType })
  if (elsewhere !== undefined) {
    // The client repeats its request there, its range included.
    response.writeHead(307, { location: elsewhere, 'cache-control': 'no-store', 'content-length': 0 }).end()
    return
  }
  const { start, end } = part === 'whole' ? { start: 0, end: sizeBytes - 1 } : part
  const source = isHead ? undefined : await bytes.open(location, { start, end })
  response.writeHead(part === 'whole' ? 200 : 206, {
    'content-type': contentType,
    'content-length': end - start + 1,
    'content-disposition': `attachment; filename="${filename}"`,
    [reprDigest]: reprDigestOf(sha256),
    ...(part === 'whole' ? {} : { 'content-range': `bytes ${start}-${end}/${sizeBytes}` }),
  })
  if (source === undefined) {
    response.end()
    return
  }
  response.setTimeout(slowClientMs, () => response.destroy())
  await pipeline(source, response)
}

const reprDigest = 'repr-digest'

export function bytesGone(): FreeholdError {
  return new FreeholdError(
    'not-found',
    'The bytes of this image are gone or damaged: they were removed from the store, or the store is another one. Build it again.',
  )
}

function isKnown(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false
  return header.split(',').some((each) => ['*', etag].includes(each.trim().replace(/^W\//, '')))
}

/** A range of another content than the client has is no range (RFC 9110 §13.1.5). */
function mayBeRanged(request: IncomingMessage, etag: string): boolean {
  const condition = request.headers['if-range']
  return condition === undefined || condition === etag
}

import { createHash } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { BlobStore } from '@freehold/blobs'
import { FreeholdError, type UpdateTarget, updateMetadataKind, updateTargetKind } from '@freehold/contracts'
import type { Store } from '@freehold/store'
import { mapError } from '../http/errors.ts'
import type { RawMount } from '../http/mounts.ts'
import { sendError } from '../http/response.ts'
import { parseRange } from '../registry/index.ts'

/** A file as it goes out. */
interface File {
  etag: string
  contentType: string
  sizeBytes: number
  /** `forever`: another content has another address. */
  isGood: 'forever' | 'until-asked'
  isPublic: boolean
  body: { bytes: Buffer } | { digest: string }
}

export interface ServeOptions {
  store: Store
  blobs: Pick<BlobStore, 'send'>
  /** Throws what is to be answered to who may not read any release. */
  admit: (request: IncomingMessage, address: string) => Promise<Reader>
}
/** Who reads what is not public: a device its own releases, people and their tokens all. */
export interface Reader {
  mayRead(releaseId: string): Promise<boolean>
}

const prefix = '/updates'
/** Versions in memory: those in force, and those of just before. A whole fleet fetches them at about the same time. */
const rememberedAtMost = 6
const contentTypes: Record<string, string> = {
  json: 'application/json; charset=utf-8',
  txt: 'text/plain; charset=utf-8',
  gz: 'application/gzip',
}

/**
 * What devices fetch: metadata below `metadata/`, targets by their path and by `<sha256>.<name>` in the same folder (TUF
 * 1.0.34 §6.2). Metadata and the keys of assignments are public; files of releases are for the devices that they are for, and
 * for people who may read releases.
 */
export function createServe({ store, blobs, admit }: ServeOptions): RawMount {
  /** Metadata with a version, which never change; the one asked for last stands last. */
  const remembered = new Map<string, File>()

  async function answer(request: IncomingMessage, response: ServerResponse, address: string): Promise<void> {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD')
      throw new FreeholdError('method-not-allowed', 'What is signed here is read by GET and HEAD.')
    }
    const path = pathOf(request)
    const isPublic = !/^(?:releases|baseos)\//.test(path)
    const reader = isPublic ? null : await admit(request, address)
    const name = path.startsWith('metadata/') ? path.slice('metadata/'.length) : undefined
    const file = name === undefined ? await targetFile(path, reader) : await metadataFile(name)
    if (file === undefined) throw notFound(path)
    await send(file, request, response)
  }

  async function metadataFile(name: string): Promise<File | undefined> {
    const match = /^([1-9]\d{0,15})\.(root|targets|snapshot)\.json$/.exec(name)
    if (match === null && name !== 'timestamp.json') return undefined
    const known = remembered.get(name)
    if (known !== undefined) return remember(name, known)
    const row =
      match === null
        ? (await store.list(updateMetadataKind, { where: { role: 'timestamp' }, order: 'changed', limit: 1 })).items[0]
        : await store.find(updateMetadataKind, 'version', `${match[2]}/${match[1]}`)
    if (row === undefined) return undefined
    const bytes = Buffer.from(row.data.text)
    const file: File = {
      etag: createHash('sha256').update(bytes).digest('hex'),
      contentType: 'application/json; charset=utf-8',
      sizeBytes: bytes.length,
      isGood: match === null ? 'until-asked' : 'forever',
      isPublic: true,
      body: { bytes },
    }
    return match === null ? file : remember(name, file)
  }

  function remember(name: string, file: File): File {
    remembered.delete(name)
    remembered.set(name, file)
    const [oldest] = remembered.keys()
    if (remembered.size > rememberedAtMost && oldest !== undefined) remembered.delete(oldest)
    return file
  }

  /** `reader`: null where the path is public. */
  async function targetFile(path: string, reader: Reader | null): Promise<File | undefined> {
    const exact = await signedTarget(path)
    if (exact !== undefined) return open(exact, { isGood: 'until-asked', reader })
    const match = /^(.*\/)?([0-9a-f]{64})\.([^/]+)$/.exec(path)
    const byHash = match === null ? undefined : await signedTarget(`${match[1] ?? ''}${match[3]}`)
    if (byHash === undefined || byHash.data.sha256 !== match?.[2]) return undefined
    return open(byHash, { isGood: 'forever', reader })
  }

  async function open(
    target: UpdateTarget,
    { isGood, reader }: { isGood: File['isGood']; reader: Reader | null },
  ): Promise<File> {
    const { releaseId } = target.data
    if (reader !== null && releaseId !== null && !(await reader.mayRead(releaseId))) {
      throw new FreeholdError(
        'forbidden',
        'This is of a release that this device neither runs nor is to run. It asks again once it was assigned it.',
      )
    }
    return fileOf(target, { isGood, isPublic: reader === null })
  }

  /** Nobody gets what is not signed yet, or was withdrawn. */
  async function signedTarget(path: string): Promise<UpdateTarget | undefined> {
    const target = await store.find(updateTargetKind, 'path', path)
    return target?.status.state === 'signed' ? target : undefined
  }

  async function send(file: File, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const etag = `"${file.etag}"`
    const reach = file.isPublic ? 'public' : 'private'
    response.setHeader(
      'cache-control',
      file.isGood === 'forever'
        ? `${reach}, max-age=31536000, immutable`
        : `${file.isPublic ? '' : 'private, '}no-cache`,
    )
    if (!file.isPublic) response.setHeader('vary', 'authorization, cookie')
    response.setHeader('etag', etag)
    response.setHeader('accept-ranges', 'bytes')
    if (matches(request.headers['if-none-match'], etag)) {
      response.writeHead(304).end()
      return
    }
    const wanted = wantedRange(request, { etag, sizeBytes: file.sizeBytes })
    if (wanted === 'unsatisfiable') {
      response.writeHead(416, { 'content-range': `bytes */${file.sizeBytes}`, 'content-length': 0 }).end()
      return
    }
    const { start, end } = wanted === 'whole' ? { start: 0, end: file.sizeBytes - 1 } : wanted
    response.writeHead(wanted === 'whole' ? 200 : 206, {
      'content-type': file.contentType,
      'content-length': end - start + 1,
      ...(wanted === 'whole' ? {} : { 'content-range': `bytes ${start}-${end}/${file.sizeBytes}` }),
    })
    if (request.method === 'HEAD') response.end()
    else if ('bytes' in file.body) response.end(file.body.bytes.subarray(start, end + 1))
    else {
      await blobs.send(file.body.digest, response, { start, end })
      response.end()
    }
  }

  return {
    prefix,
    async handle(request, response, { client, requestId }) {
      try {
        await answer(request, response, client.address)
      } catch (error) {
        if (!(error instanceof FreeholdError)) throw error
        response.removeHeader('cache-control')
        sendError(response, mapError(error, requestId))
      }
    },
  }
}

function fileOf({ data }: UpdateTarget, { isGood, isPublic }: Pick<File, 'isGood' | 'isPublic'>): File {
  const { path, sha256, sizeBytes, text } = data
  return {
    etag: sha256,
    contentType: contentTypes[path.split('.').at(-1) ?? ''] ?? 'application/octet-stream',
    sizeBytes,
    isGood,
    isPublic,
    body: text === null ? { digest: `sha256:${sha256}` } : { bytes: Buffer.from(text) },
  }
}

/** The path below the mount; rows are found by it, nothing else is built of it. */
function pathOf(request: IncomingMessage): string {
  const path = (request.url ?? '').split('?')[0]?.slice(prefix.length + 1) ?? ''
  try {
    return decodeURIComponent(path)
  } catch (cause) {
    throw new FreeholdError('invalid-input', 'The address is not valid percent-encoding.', { cause })
  }
}

function matches(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false
  return header.split(',').some((each) => each.trim() === '*' || each.trim().replace(/^W\//, '') === etag)
}

/** A range of another content than the client has is no range (RFC 9110 §13.1.5). */
function wantedRange(request: IncomingMessage, { etag, sizeBytes }: { etag: string; sizeBytes: number }) {
  const ifRange = request.headers['if-range']
  if (request.method === 'HEAD' || (ifRange !== undefined && ifRange !== etag)) return 'whole'
  return parseRange(request.headers.range, sizeBytes)
}

function notFound(path: string): FreeholdError {
  const about = path.slice(0, 200)
  return new FreeholdError(
    'not-found',
    path.startsWith('metadata/')
      ? `There is no ${about}. Begin at /updates/metadata/timestamp.json, and ask for roots one by one from 1.root.json on.`
      : `No signed target is at ${about}. The targets metadata (by /updates/metadata/timestamp.json) name all there are; what is not signed yet, or was withdrawn, is not given out.`,
  )
}

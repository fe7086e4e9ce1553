import { type FileHandle, open } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { FreeholdError } from '@freehold/contracts'
import type { Logger } from 'pino'
import { mapError } from '../http/errors.ts'
import type { RawMount } from '../http/mounts.ts'
import { sendError } from '../http/response.ts'
import { parseRange } from '../registry/index.ts'
import type { AgentArchitecture } from './architecture.ts'
import { MissingPart } from './missing.ts'

export const archivePrefix = '/baseos/v1/device-agent'

/** Anybody may fetch an archive; who takes nothing of it for so long holds no file open. */
const slowClientMs = 120_000
/** After a failure nobody from outside makes us try again for so long. */
const failureKeptMs = 60_000

/**
 * `GET` and `HEAD` of `<sha256>.tar.gz`, ranges included (RFC 9110 §14): the hash says what is there for ever. And of
 * `<architecture>.tar.gz`, which leads to the present one.
 */
export function createArchiveMount({
  cacheFolder,
  archiveFor,
  log,
}: {
  cacheFolder: string
  archiveFor: (architecture: AgentArchitecture) => Promise<{ sha256: string }>
  log: Pick<Logger, 'warn'>
}): RawMount {
  const failures = new Map<AgentArchitecture, { untilMs: number; outline: string }>()

  /** Anybody may ask, so that all of a failure is told to the operator alone, and not tried again for each who asks. */
  async function present(architecture: AgentArchitecture): Promise<string> {
    const failure = failures.get(architecture)
    if (failure !== undefined && failure.untilMs > performance.now()) throw unpackable(architecture, failure.outline)
    try {
      return (await archiveFor(architecture)).sha256
    } catch (error) {
      log.warn({ err: error, architecture }, 'the archive of the device agent cannot be made')
      const outline = error instanceof MissingPart ? error.outline : ''
      failures.set(architecture, { untilMs: performance.now() + failureKeptMs, outline })
      throw unpackable(architecture, outline)
    }
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD')
      throw new FreeholdError('method-not-allowed', 'Archives of the device agent are read by GET and HEAD.')
    }
    const path = (request.url ?? '').split('?')[0] ?? ''
    const architecture = /^\/(amd64|arm64)\.tar\.gz$/.exec(path.slice(archivePrefix.length))?.[1]
    if (architecture === 'amd64' || architecture === 'arm64') {
      const location = `${archivePrefix}/${await present(architecture)}.tar.gz`
      response.writeHead(307, { location, 'cache-control': 'no-cache', 'content-length': 0 }).end()
      return
    }
    const sha256 = /^\/([0-9a-f]{64})\.tar\.gz$/.exec(path.slice(archivePrefix.length))?.[1]
    const file = sha256 === undefined ? undefined : await openIfThere(join(cacheFolder, `${sha256}.tar.gz`))
    if (file === undefined || sha256 === undefined) {
      throw new FreeholdError(
        'not-found',
        `There is no such archive; one of an older installation is kept for a day. ${archivePrefix}/amd64.tar.gz and ${archivePrefix}/arm64.tar.gz lead to the present ones.`,
      )
    }
    try {
      await send(file, { sha256, request, response })
    } finally {
      await file.close()
    }
  }

  return {
    prefix: archivePrefix,
    async handle(request, response, { requestId }) {
      try {
        await answer(request, response)
      } catch (error) {
        if (!(error instanceof FreeholdError)) throw error
        sendError(response, mapError(error, requestId))
      }
    },
  }
}

function unpackable(architecture: AgentArchitecture, outline: string): FreeholdError {
  const why = outline === '' ? '; its log says why and what to do.' : `: ${outline}`
  return new FreeholdError(
    'unavailable',
    `The control plane cannot pack the device agent for ${architecture} now${why}`,
  )
}

async function send(
  file: FileHandle,
  { sha256, request, response }: { sha256: string; request: IncomingMessage; response: ServerResponse },
): Promise<void> {
  const { size } = await file.stat()
  const etag = `"${sha256}"`
  response.setHeader('cache-control', 'public, max-age=31536000, immutable')
  response.setHeader('etag', etag)
  response.setHeader('accept-ranges', 'bytes')
  response.setHeader('repr-digest', `sha-256=:${Buffer.from(sha256, 'hex').toString('base64')}:`)
  if (request.headers['if-none-match']?.includes(etag) === true) {
    response.writeHead(304).end()
    return
  }
  const ifRange = request.headers['if-range']
  const isWhole = request.method === 'HEAD' || (ifRange !== undefined && ifRange !== etag)
  const range = isWhole ? 'whole' : parseRange(request.headers.range, size)
  if (range === 'unsatisfiable') {
    response.writeHead(416, { 'content-range': `bytes */${size}`, 'content-length': 0 }).end()
    return
  }
  const { start, end } = range === 'whole' ? { start: 0, end: size - 1 } : range
  response.writeHead(range === 'whole' ? 200 : 206, {
    'content-type': 'application/gzip',
    'content-length': end - start + 1,
    ...(range === 'whole' ? {} : { 'content-range': `bytes ${start}-${end}/${size}` }),
  })
  if (request.method === 'HEAD') {
    response.end()
    return
  }
  response.setTimeout(slowClientMs, () => response.destroy())
  await pipeline(file.createReadStream({ start, end, autoClose: false }), response).catch(unlessGone(response))
}

/** Who asked may go away at any time. */
function unlessGone(response: ServerResponse): (error: unknown) => void {
  return (error) => {
    if (!response.destroyed) throw error
  }
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

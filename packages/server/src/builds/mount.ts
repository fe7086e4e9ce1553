import type { IncomingMessage, ServerResponse } from 'node:http'
import {
  baseImageContentPath,
  buildContentPath,
  buildDownloadPath,
  buildKind,
  FreeholdError,
} from '@freehold/contracts'
import type { Store } from '@freehold/store'
import type { Logger } from 'pino'
import type { Authenticate } from '../http/api.ts'
import { authorize } from '../http/authorize.ts'
import { mapError } from '../http/errors.ts'
import type { RawMount } from '../http/mounts.ts'
import { refuseForeignOrigin } from '../http/origin.ts'
import { sendError } from '../http/response.ts'
import type { createBaseImages } from './base-images.ts'
import { type ImageBytes, translated } from './bytes.ts'
import type { Dispatcher } from './dispatcher.ts'
import { bytesGone, serveFile } from './downloads.ts'
import type { UrlSigner } from './signed-url.ts'
import type { Uploads } from './uploads.ts'

interface Options {
  store: Store
  authenticate: Authenticate
  signer: UrlSigner
  bytes: ImageBytes
  uploads: Uploads
  baseImages: ReturnType<typeof createBaseImages>
  dispatcher: Pick<Dispatcher, 'attemptOf'>
  log: Logger
}

const id = '([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})'
const paths = {
  content: new RegExp(`^${buildContentPath(id)}$`),
  download: new RegExp(`^${buildDownloadPath(id)}$`),
  baseContent: new RegExp(`^${baseImageContentPath(id)}$`),
}

/**
 * The bytes of images, in and out: workers upload with the token of their attempt, people download by an address that
 * carries its own permission; base images are uploaded by who may write builds, and fetched by workers by such an address.
 */
export function createImageMounts(options: Options): RawMount[] {
  const { store, signer, bytes, uploads, baseImages, dispatcher, log } = options

  async function route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [path = '', search = ''] = (request.url ?? '').split('?', 2)
    const query = new URLSearchParams(search)
    const content = paths.content.exec(path)?.[1]
    if (content !== undefined) return uploads.handle(targetOf(content, request), request, response)
    const download = paths.download.exec(path)?.[1]
    if (download !== undefined) return sendImage(download, { path, query, request, response })
    const base = paths.baseContent.exec(path)?.[1]
    if (base !== undefined) return baseContent(base, { path, query, request, response })
    throw new FreeholdError('not-found', 'There is no image at this address.')
  }

  /** The token is that of the attempt under way, so there is none where nothing is built. */
  function targetOf(buildId: string, request: IncomingMessage) {
    const token = /^Bearer +(\S{1,512})$/i.exec(request.headers.authorization ?? '')?.[1]
    const attempt = dispatcher.attemptOf(buildId)
    if (token === undefined || attempt === undefined || attempt.stop.signal.aborted || !attempt.isUploadToken(token)) {
      throw new FreeholdError(
        'unauthenticated',
        'An image is uploaded with the token of the attempt that makes it now.',
      )
    }
    return attempt.receiving.target
  }

  async function sendImage(buildId: string, exchange: Exchange): Promise<void> {
    requireRead(exchange)
    signer.check(exchange.path, exchange.query)
    const artifact = (await store.get(buildKind, buildId))?.status.artifact
    if (artifact === undefined || artifact === null || artifact.location === null) throw bytesGone()
    const file = { ...artifact, location: artifact.location, mayRedirect: true }
    await serveFile(exchange.request, exchange.response, { file, bytes })
  }

  async function baseContent(baseId: string, exchange: Exchange): Promise<void> {
    const { request, response, query, path } = exchange
    if (query.has('signature')) {
      requireRead(exchange)
      signer.check(path, query)
      await serveFile(request, response, { file: await baseImages.file(baseId), bytes })
      return
    }
    const { caller, byCookie } = await options.authenticate(request)
    refuseForeignOrigin(request.headers, { byCookie: byCookie && request.method !== 'HEAD' })
    authorize(caller, 'builds:write', { noun: 'baseImages', id: baseId })
    await uploads.handle(await baseImages.target(baseId, caller.actor), request, response)
  }

  async function handle(request: IncomingMessage, response: ServerResponse, context: { requestId: string }) {
    try {
      await route(request, response)
    } catch (error) {
      if (response.destroyed || (request.destroyed && !request.complete)) {
        log.debug({ err: error, path: request.url?.split('?')[0] }, 'the client of an image went away')
        response.destroy()
        return
      }
      const failure = translated(error)
      if (!(failure instanceof FreeholdError)) throw failure
      if (response.headersSent) {
        response.destroy()
        return
      }
      response.removeHeader('etag')
      sendError(response, mapError(failure, context.requestId))
    }
  }

  return [
    { prefix: '/baseos/v1/images', handle },
    { prefix: '/baseos/v1/base-images', handle },
  ]
}

interface Exchange {
  path: string
  query: URLSearchParams
  request: IncomingMessage
  response: ServerResponse
}

function requireRead({ request, response }: Exchange): void {
  if (request.method === 'GET' || request.method === 'HEAD') return
  response.setHeader('allow', 'GET, HEAD')
  throw new FreeholdError('method-not-allowed', 'An image is read by GET and HEAD.')
}

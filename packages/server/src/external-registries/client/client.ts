import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { digestSchema } from '@freehold/contracts'
import { fromSocketError, UpstreamError } from './errors.ts'
import { createHttp, type HttpAnswer, type HttpLimits, readBounded } from './http.ts'
import { type Credentials, createSignedHttp, tooMany } from './sign-in.ts'

export interface UpstreamManifest {
  digest: string
  mediaType: string
  bytes: Buffer
}

/**
 * Reads from a registry elsewhere (OCI Distribution 1.1, "Pull"). Everything ends within its limits, and everything
 * thrown is an `UpstreamError`, or the reason of the signal where that was aborted.
 */
export interface RegistryClient {
  /** Host and port of the registry, for sentences. */
  host: string
  /** Signs in (end-1). Answers whether credentials were asked for and proved. Throws `not-a-registry` too. */
  signIn(signal: AbortSignal): Promise<'proved' | 'not-asked'>
  /** The digest a tag means now (end-3). Throws `not-found`. */
  digestOf(repository: string, reference: string, signal: AbortSignal): Promise<string>
  /** A manifest, verified against its digest; by tag against what the registry says it is. */
  manifest(repository: string, reference: string, signal: AbortSignal): Promise<UpstreamManifest>
  /** Size of a blob (end-2); undefined where the registry has none. */
  blobSize(repository: string, digest: string, signal: AbortSignal): Promise<number | undefined>
  /**
   * A blob's bytes. A connection that breaks is taken up again where it broke, a few times. The bytes are counted but
   * not hashed: whoever stores them verifies them.
   */
  blob(repository: string, digest: string, signal: AbortSignal): Promise<{ sizeBytes: number; bytes: Readable }>
  close(): void
}

const manifestLimitBytes = 4 * 1024 * 1024
const smallLimitBytes = 64 * 1024
/** Breaks in a row without a byte in between. */
const breaksInARow = 3
const accept = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
].join(', ')

/** `url`: where the registry answers; its path is not used, because `/v2/` stands at the root of a host. */
export function createRegistryClient(options: {
  url: URL
  credentials: Credentials | null
  now: () => number
  limits?: Partial<HttpLimits>
}): RegistryClient {
  const home = new URL('/', options.url)
  const http = createHttp({ home, ...(options.limits === undefined ? {} : { limits: options.limits }) })
  const signed = createSignedHttp({ ...options, http, home })
  const host = home.host

  const ask = async (
    method: 'GET' | 'HEAD',
    path: string,
    more: { repository: string; signal: AbortSignal; headers?: Record<string, string> },
  ): Promise<HttpAnswer> => {
    const { repository, ...rest } = more
    const answer = await signed.send({
      method,
      url: new URL(`/v2/${repository}/${path}`, home),
      scope: `repository:${repository}:pull`,
      ...rest,
    })
    if ([200, 206].includes(answer.status)) return answer
    answer.body.destroy()
    throw refusal(answer, { host, what: nameOf(repository, path) })
  }

  const manifestAnswer = (method: 'GET' | 'HEAD', repository: string, reference: string, signal: AbortSignal) =>
    ask(method, `manifests/${reference}`, { repository, signal, headers: { accept } })

  async function manifest(repository: string, reference: string, signal: AbortSignal): Promise<UpstreamManifest> {
    const answer = await manifestAnswer('GET', repository, reference, signal)
    const bytes = await readBounded(answer, manifestLimitBytes)
    const wanted = reference.includes(':') ? reference : headerOf(answer, 'docker-content-digest')
    const digest = digestLike(bytes, wanted)
    if (wanted !== undefined && wanted !== digest) {
      throw new UpstreamError(
        'digest-mismatch',
        `${host} gives a manifest for ${repository}:${reference} whose digest is ${digest}, not ${wanted}.`,
      )
    }
    return { digest, mediaType: (answer.headers['content-type'] ?? '').split(';')[0]?.trim() ?? '', bytes }
  }

  async function blob(repository: string, digest: string, signal: AbortSignal) {
    const first = await ask('GET', `blobs/${digest}`, { repository, signal })
    const sizeBytes = lengthOf(first)
    if (sizeBytes === undefined) {
      first.body.destroy()
      throw new UpstreamError('broken', `${host} does not say how long the blob ${digest} is.`)
    }
    const again = async (offset: number): Promise<HttpAnswer> => {
      const answer = await ask('GET', `blobs/${digest}`, { repository, signal, headers: { range: `bytes=${offset}-` } })
      if (answer.status === 200) await skip(answer, offset)
      return answer
    }
    const bytes = Readable.from(pieces({ first, sizeBytes, again, signal, what: `${host} blob ${digest}` }), {
      objectMode: false,
    })
    // One that is given up before its first piece would keep its connection open.
    bytes.once('close', () => first.body.destroy())
    return { sizeBytes, bytes }
  }

  return {
    host,
    async signIn(signal) {
      const answer = await signed.send({ method: 'GET', url: new URL('/v2/', home), scope: '', signal })
      const body = await readBounded(answer, smallLimitBytes).catch((error: unknown) => {
        if (error instanceof UpstreamError && error.reason === 'too-large') return undefined
        throw error
      })
      if (answer.status !== 200 && answer.status !== 404) throw refusal(answer, { host, what: '/v2/' })
      if (!isRegistryAnswer(answer, body)) {
        throw new UpstreamError(
          'not-a-registry',
          `${host} answers, but it is no container registry: /v2/ is not there.`,
        )
      }
      return signed.asked() === 'none' ? 'not-asked' : 'proved'
    },
    async digestOf(repository, reference, signal) {
      const answer = await manifestAnswer('HEAD', repository, reference, signal)
      answer.body.resume()
      const digest = headerOf(answer, 'docker-content-digest')
      return digest ?? (await manifest(repository, reference, signal)).digest
    },
    manifest,
    async blobSize(repository, digest, signal) {
      try {
        const answer = await ask('HEAD', `blobs/${digest}`, { repository, signal })
        answer.body.resume()
        return lengthOf(answer)
      } catch (error) {
        if (error instanceof UpstreamError && error.reason === 'not-found') return undefined
        throw error
      }
    },
    blob,
    close: () => http.close(),
  }
}

async function* pieces(options: {
  first: HttpAnswer
  sizeBytes: number
  again: (offset: number) => Promise<HttpAnswer>
  signal: AbortSignal
  what: string
}): AsyncGenerator<Buffer> {
  const { sizeBytes, signal, what } = options
  let answer: HttpAnswer | undefined = options.first
  let offset = 0
  let breaks = 0
  while (true) {
    try {
      answer ??= await options.again(offset)
      for await (const piece of answer.body as AsyncIterable<Buffer>) {
        offset += piece.length
        if (offset > sizeBytes) throw new UpstreamError('broken', `The ${what} is longer than the registry said.`)
        breaks = 0
        yield piece
      }
      if (offset === sizeBytes) return
    } catch (error) {
      if (signal.aborted) throw signal.reason
      const failure = fromSocketError(error, what.split(' ')[0] ?? '')
      if (!['unreachable', 'timeout'].includes(failure.reason) || breaks >= breaksInARow) throw failure
    }
    if (breaks++ >= breaksInARow) {
      throw new UpstreamError('unreachable', `The ${what} breaks off after ${offset} of ${sizeBytes} bytes.`)
    }
    answer = undefined
  }
}

/** Reads over what is here already, where a registry does not know ranges. */
async function skip({ body, url }: HttpAnswer, offset: number): Promise<void> {
  let left = offset
  while (left > 0) {
    const piece: Buffer | null = body.read()
    if (piece !== null) {
      if (piece.length > left) body.unshift(piece.subarray(left))
      left -= Math.min(left, piece.length)
      continue
    }
    if (body.readableEnded || body.destroyed) throw new UpstreamError('unreachable', `${url.host} broke off.`)
    await new Promise<void>((resolve) => {
      const events = ['readable', 'end', 'close', 'error']
      const done = () => {
        for (const event of events) body.off(event, done)
        resolve()
      }
      for (const event of events) body.on(event, done)
    })
  }
}

/** As people write it: `team/app:1.0`, `team/app@sha256:…`. */
function nameOf(repository: string, path: string): string {
  const reference = path.slice(path.indexOf('/') + 1)
  return `${repository}${reference.includes(':') ? '@' : ':'}${reference}`
}

function refusal(answer: HttpAnswer, { host, what }: { host: string; what: string }): UpstreamError {
  const { status } = answer
  if (status === 429) return tooMany(answer)
  if (status === 403) return new UpstreamError('denied', `${host} does not let these credentials read ${what}.`)
  if (status === 404) return new UpstreamError('not-found', `${host} has no ${what}.`)
  return new UpstreamError('broken', `${host} answers ${status} for ${what}.`)
}

function isRegistryAnswer({ status, headers }: HttpAnswer, body: Buffer | undefined): boolean {
  if (status !== 200 || body === undefined) return false
  if (headers['docker-distribution-api-version'] !== undefined) return true
  const text = body.toString('utf8').trim()
  return text === '' || text.startsWith('{')
}

function headerOf({ headers }: HttpAnswer, name: string): string | undefined {
  const value = headers[name]
  const text = Array.isArray(value) ? value[0] : value
  return digestSchema.safeParse(text).data
}

function lengthOf({ headers }: HttpAnswer): number | undefined {
  const length = Number(headers['content-length'])
  return headers['content-length'] !== undefined && Number.isSafeInteger(length) && length >= 0 ? length : undefined
}

function digestLike(bytes: Buffer, wanted: string | undefined): string {
  const algorithm = wanted?.startsWith('sha512:') ? 'sha512' : 'sha256'
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`
}

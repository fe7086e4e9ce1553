import type { IncomingMessage } from 'node:http'
import { FreeholdError } from '@freehold/contracts/lean'
import { createHash } from '../../builtin.ts'
import { type Answer, NoAnswerError, send } from '../../http.ts'
import { fieldsOf, listOf, numberOf, parseJson, textOf } from '../../parse.ts'
import type { Secret } from '../../secret.ts'
import { type BlobReference, fetchBlob, openAnswer } from './transfer.ts'

/** An image by digest; the digest names a manifest, or an index that leads to the manifest of this platform. */
export interface ImageReference {
  repository: string
  digest: string
}

export interface Layer extends BlobReference {
  mediaType: string
}

/** Where images come from. */
export interface ImageSource {
  /** The layers for this platform, lowest first. Throws `not-found` where there are none, NoAnswerError. */
  layers(image: ImageReference, signal: AbortSignal): Promise<Layer[]>
  /** See `fetchBlob`. */
  fetch(options: {
    repository: string
    blob: BlobReference
    path: string
    onBytes: (haveBytes: number) => void
    signal: AbortSignal
  }): Promise<void>
}

const manifestTypes = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
]
const indexTypes = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
]
const manifestLimitBytes = 4 * 1024 * 1024
const mostLayers = 256
const mostRedirects = 3
const answerLimitMs = 30_000

/**
 * Pulls from the control plane's registry (OCI Distribution 1.1) as the user `device` with the node token, which goes
 * nowhere but to that address; a store that blobs are redirected to gets none of it.
 */
export function createImageSource(options: {
  registry: URL
  /** Asked each time: the node token rotates. */
  token: () => Secret | null
  /** As Go names it; undefined: that of this process. */
  architecture?: string
  idleLimitMs?: number
}): ImageSource {
  const { registry, token, architecture = architectureOf(process.arch), idleLimitMs = 60_000 } = options
  const bearers = new Map<string, string>()

  /** What the registry's token endpoint gives for one repository. */
  const signIn = async (repository: string, challenge: string, signal: AbortSignal) => {
    const realm = URL.parse(parameterOf(challenge, 'realm') ?? '')
    // The control plane may call itself by another name than it is reached by here.
    const url = new URL(realm?.pathname ?? '/v2/token', registry)
    const service = parameterOf(challenge, 'service')
    if (service !== null) url.searchParams.set('service', service)
    url.searchParams.set('scope', `repository:${repository}:pull`)
    const secret = token()
    const basic = secret && Buffer.from(`device:${secret.reveal()}`).toString('base64')
    const answer = await send({
      url,
      method: 'GET',
      headers: basic === null ? {} : { authorization: `Basic ${basic}` },
      timeLimitMs: answerLimitMs,
      answerLimitBytes: 64 * 1024,
      signal,
    })
    const told = fieldsOf(parseJson(answer.body))
    const bearer = textOf(told.token, 16_384) ?? textOf(told.access_token, 16_384)
    if (answer.status !== 200 || bearer === null) throw refused(answer.status, repository)
    bearers.set(repository, bearer)
  }
  const bearerOf = (repository: string): Record<string, string> => {
    const bearer = bearers.get(repository)
    return bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }
  }

  const manifest = async ({ repository, digest }: ImageReference, signal: AbortSignal) => {
    const ask = () =>
      send({
        url: new URL(`/v2/${repository}/manifests/${digest}`, registry),
        method: 'GET',
        headers: { accept: [...manifestTypes, ...indexTypes].join(', '), ...bearerOf(repository) },
        timeLimitMs: answerLimitMs,
        answerLimitBytes: manifestLimitBytes,
        signal,
      })
    let answer = await ask()
    if (answer.status === 401) {
      await signIn(repository, challengeOf(answer.headers), signal)
      answer = await ask()
    }
    if (answer.status !== 200) throw refused(answer.status, repository)
    return fieldsOf(parseJson(checked(answer, digest)))
  }

  const layers = async (image: ImageReference, signal: AbortSignal): Promise<Layer[]> => {
    let found = await manifest(image, signal)
    if (Array.isArray(found.manifests)) {
      const digest = digestForPlatform(found.manifests, architecture)
      if (digest === null) {
        throw new FreeholdError(
          'not-found',
          `${image.repository}@${image.digest} has no image for linux/${architecture}.`,
        )
      }
      found = await manifest({ ...image, digest }, signal)
    }
    if (!Array.isArray(found.layers) || found.layers.length > mostLayers) {
      throw new FreeholdError('invalid-input', `${image.digest} is no image with at most ${mostLayers} layers.`)
    }
    return found.layers.map(layerOf)
  }

  const open = async (repository: string, digest: string, fromByte: number, signal: AbortSignal) => {
    const range: Record<string, string> = fromByte === 0 ? {} : { range: `bytes=${fromByte}-` }
    const ask = (url: URL, headers: Record<string, string>) =>
      openAnswer({ url, headers: { ...range, ...headers }, idleLimitMs, signal })
    const own = new URL(`/v2/${repository}/blobs/${digest}`, registry)
    let answer = await ask(own, bearerOf(repository))
    if (answer.statusCode === 401) {
      answer.destroy()
      await signIn(repository, challengeOf(answer.headers), signal)
      answer = await ask(own, bearerOf(repository))
    }
    let url = own
    for (let redirects = 0; redirects < mostRedirects && isRedirect(answer); redirects += 1) {
      answer.destroy()
      const next = URL.parse(answer.headers.location ?? '', url.href)
      if (next === null || (url.protocol === 'https:' && next.protocol !== 'https:')) break
      url = next
      answer = await ask(url, url.origin === registry.origin ? bearerOf(repository) : {})
    }
    return answer
  }

  return {
    layers,
    fetch: ({ repository, blob, path, onBytes, signal }) =>
      fetchBlob({ blob, path, onBytes, signal, open: (fromByte) => open(repository, blob.digest, fromByte, signal) }),
  }
}

/** The bytes that were asked for, or none: the name of a manifest is its hash. */
function checked(answer: Answer, digest: string): string {
  if (`sha256:${createHash('sha256').update(answer.body).digest('hex')}` === digest) return answer.body
  throw new FreeholdError('conflict', `The registry gave another manifest than ${digest}.`)
}

function digestForPlatform(entries: unknown[], architecture: string): string | null {
  for (const entry of entries.slice(0, 256)) {
    const { digest, platform } = fieldsOf(entry)
    const told = fieldsOf(platform)
    if (told.os === 'linux' && told.architecture === architecture) return digestOf(digest)
  }
  return null
}

function layerOf(entry: unknown): Layer {
  const { digest, size, mediaType } = fieldsOf(entry)
  const sizeBytes = numberOf(size)
  if (sizeBytes === null || !Number.isSafeInteger(sizeBytes) || sizeBytes < 0) {
    throw new FreeholdError('invalid-input', 'The image has a layer without a size.')
  }
  return { digest: digestOf(digest), sizeBytes, mediaType: textOf(mediaType, 200) ?? '' }
}

/** Also part of a file's name, so nothing else passes. */
function digestOf(value: unknown): string {
  if (typeof value === 'string' && /^sha256:[0-9a-f]{64}$/.test(value)) return value
  throw new FreeholdError('invalid-input', 'The image names something by another digest than SHA-256.')
}

function refused(status: number, repository: string): Error {
  if (status === 401 || status === 403) {
    return new FreeholdError('forbidden', `The registry does not let this device pull ${repository} (${status}).`)
  }
  if (status === 404)
    return new FreeholdError('not-found', `The registry does not have what was asked of ${repository}.`)
  return new NoAnswerError(`The registry answered for ${repository} with ${status}.`)
}

function isRedirect({ statusCode = 0, headers }: IncomingMessage): boolean {
  return [301, 302, 303, 307, 308].includes(statusCode) && headers.location !== undefined
}

function challengeOf(headers: IncomingMessage['headers']): string {
  return textOf(headers['www-authenticate'], 2000) ?? ''
}

function parameterOf(challenge: string, name: string): string | null {
  const part = listOf(challenge.replace(/^Bearer /i, '').split(','), 16, String).find((entry) =>
    entry.trim().startsWith(`${name}="`),
  )
  return part === undefined ? null : part.trim().slice(name.length + 2, -1)
}

/** What Go, and so a registry, calls an architecture of Node's. */
function architectureOf(name: string): string {
  return { x64: 'amd64', ia32: '386' }[name] ?? name
}

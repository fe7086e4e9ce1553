import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { Readable } from 'node:stream'
import type Docker from 'dockerode'
import { findPart, requireParts } from './parts.ts'
import { type TarFile, tar } from './tar.ts'

export interface ImageRecipe {
  /** `name:tag`. */
  name: string
  /** Besides `/bin/busybox` and `/tmp`. */
  files?: readonly TarFile[]
  entrypoint: readonly string[]
  environment?: Readonly<Record<string, string>>
  stopSignal?: string
}

/** An image as an archive that `docker load` and `skopeo copy docker-archive:` take. */
export interface BuiltImage {
  name: string
  archive: Buffer
}

/** Builds an image from nothing but busybox and the given files; no builder and no network has a part in it. */
export async function buildImage(recipe: ImageRecipe): Promise<BuiltImage> {
  requireParts(['busybox'])
  const busybox = await readFile(findPart('busybox') ?? '')
  const layer = tar([
    { path: 'bin/busybox', content: busybox, mode: 0o755 },
    { path: 'tmp/.keep', content: '' },
    ...(recipe.files ?? []),
  ])
  const config = JSON.stringify({
    architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
    os: 'linux',
    created: '2000-01-01T00:00:00Z',
    config: {
      Entrypoint: recipe.entrypoint,
      Env: Object.entries({ PATH: '/bin', ...recipe.environment }).map(([name, value]) => `${name}=${value}`),
      ...(recipe.stopSignal === undefined ? {} : { StopSignal: recipe.stopSignal }),
    },
    rootfs: { type: 'layers', diff_ids: [`sha256:${sha256(layer)}`] },
    history: [{ created: '2000-01-01T00:00:00Z', created_by: 'lab' }],
  })
  const manifest = [{ Config: `${sha256(config)}.json`, RepoTags: [recipe.name], Layers: ['layer.tar'] }]
  const archive = tar([
    { path: `${sha256(config)}.json`, content: config },
    { path: 'layer.tar', content: layer },
    { path: 'manifest.json', content: JSON.stringify(manifest) },
  ])
  return { name: recipe.name, archive }
}

/** A web server on port 8080: `/` answers the version. It reads its disk at each request and ends at once when told. */
export function webImage(options: { name: string; version: string }): Promise<BuiltImage> {
  return buildImage({
    name: options.name,
    files: [{ path: 'www/index.html', content: `${options.version}\n` }],
    entrypoint: ['/bin/busybox', 'httpd', '-f', '-v', '-p', '8080', '-h', '/www'],
    environment: { VERSION: options.version },
    stopSignal: 'SIGKILL',
  })
}

/** Says two lines and exits 1. */
export function brokenImage(options: { name: string }): Promise<BuiltImage> {
  const script = 'echo "reading the configuration"\necho "fatal: the database address is missing" >&2\nexit 1\n'
  return buildImage({
    name: options.name,
    files: [{ path: 'start', content: script }],
    entrypoint: ['/bin/busybox', 'sh', '/start'],
  })
}

/** Starts, says one line, goes on for ever and never listens. */
export function deafImage(options: { name: string }): Promise<BuiltImage> {
  return buildImage({
    name: options.name,
    files: [{ path: 'start', content: 'echo "started, but listening to nobody"\nexec /bin/busybox sleep 1000000\n' }],
    entrypoint: ['/bin/busybox', 'sh', '/start'],
    stopSignal: 'SIGKILL',
  })
}

/** Puts the image into an engine, under further names on wish. */
export async function loadImage(engine: Docker, image: BuiltImage, options: { as?: string } = {}): Promise<void> {
  await finish(engine, await engine.loadImage(Readable.from([image.archive])))
  if (options.as !== undefined) {
    const { repository, tag } = splitReference(options.as)
    await engine.getImage(image.name).tag({ repo: repository, tag })
  }
}

/** Pushes `reference` (host/repository:tag) as the engine's own `docker push` does; returns the manifest's digest. */
export async function pushImage(
  engine: Docker,
  reference: string,
  auth: { username: string; password: string },
): Promise<string> {
  const { repository, tag } = splitReference(reference)
  const serveraddress = repository.split('/')[0] ?? ''
  const stream = await engine.getImage(repository).push({ tag, authconfig: { ...auth, serveraddress } })
  const events = await finish(engine, stream)
  const digest = events.map((event) => event.aux?.Digest).find((candidate) => candidate !== undefined)
  if (digest === undefined) throw new Error(`The push of ${reference} ended without a digest.`)
  return digest
}

interface ProgressEvent {
  error?: string
  aux?: { Digest?: string }
}

/** An engine answers 200 first and says in the stream what went wrong. */
function finish(engine: Docker, stream: NodeJS.ReadableStream): Promise<ProgressEvent[]> {
  return new Promise((resolve, reject) => {
    engine.modem.followProgress(stream, (error: Error | null, events: ProgressEvent[]) => {
      const problem = error?.message ?? events?.find((event) => event.error !== undefined)?.error
      if (problem === undefined) resolve(events)
      else reject(new Error(problem))
    })
  })
}

function splitReference(reference: string): { repository: string; tag: string } {
  const at = reference.lastIndexOf(':')
  if (at < 0 || reference.includes('/', at)) throw new Error(`The reference ${reference} has no tag.`)
  return { repository: reference.slice(0, at), tag: reference.slice(at + 1) }
}

function sha256(content: Buffer | string): string {
  return createHash('sha256').update(content).digest('hex')
}

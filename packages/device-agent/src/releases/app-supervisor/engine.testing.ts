import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A fake container engine on a socket of its own: the calls that the agent and the fake Supervisor make, no more. */
export interface FakeEngine {
  socketPath: string
  /** What the registry behind it has: `host/repository@sha256:…` and what a container of it does. */
  registry: Map<string, { exits?: number; log?: string; sizeBytes?: number }>
  /** The registry wants these; null: nobody is refused. */
  wants: { username: string; password: string } | null
  /** The pull ends with this in its stream. */
  pullFails: string | null
  /** Answers nothing. */
  isStuck: boolean
  images: Map<string, FakeImage>
  containers: Map<string, FakeContainer>
  volumes: Set<string>
  /** Method and path of every request. */
  seen: string[]
  stop(): Promise<void>
}

interface FakeImage {
  id: string
  tags: Set<string>
  digests: Set<string>
  exits?: number
  log?: string
}

export interface FakeContainer {
  id: string
  name: string
  image: string
  labels: Record<string, string>
  status: string
  exitCode: number
  restartCount: number
  startedAt: string
  health: string | null
  hasTerminal: boolean
  restart: string
  log: string
  files: Set<string>
}

export async function startFakeEngine(): Promise<FakeEngine> {
  const folder = await mkdtemp(join(tmpdir(), 'freehold-engine-'))
  let count = 0
  const server = createServer((request, response) => void answer(request, response))
  const imageNamed = (name: string) =>
    [...engine.images.values()].find(({ id, tags, digests }) => id === name || tags.has(name) || digests.has(name))

  const pull = (response: ServerResponse, url: URL, auth: string | undefined) => {
    const reference = `${url.searchParams.get('fromImage')}@${url.searchParams.get('tag')}`
    // A real one ignores what is not padded.
    const given =
      auth === undefined || auth.length % 4 !== 0 ? {} : JSON.parse(Buffer.from(auth, 'base64url').toString('utf8'))
    const { wants } = engine
    if (wants && (given.username !== wants.username || given.password !== wants.password)) {
      return json(response, 500, { message: `Head "https://${reference}": unauthorized for ${given.password}` })
    }
    const found = engine.registry.get(reference)
    if (!found) return json(response, 404, { message: `manifest for ${reference} not found: manifest unknown` })
    response.writeHead(200, { 'content-type': 'application/json' })
    const say = (line: object) => response.write(`${JSON.stringify(line)}\r\n`)
    say({ status: 'Pulling fs layer', progressDetail: {}, id: 'a' })
    say({ status: 'Downloading', progressDetail: { current: 50, total: 100 }, id: 'a' })
    if (engine.pullFails !== null) {
      say({ errorDetail: { message: engine.pullFails }, error: engine.pullFails })
      return response.end()
    }
    say({ status: 'Pull complete', progressDetail: {}, id: 'a' })
    const id = `sha256:image-of-${reference.split('@')[1]}`
    const { exits, log } = found
    const before = engine.images.get(id)
    const image = before ?? { id, tags: new Set(), digests: new Set(), ...(exits === undefined ? {} : { exits }) }
    image.digests.add(reference)
    engine.images.set(id, { ...image, log: log ?? '' })
    return response.end()
  }
  const remove = (response: ServerResponse, name: string) => {
    const image = imageNamed(name)
    if (!image) return json(response, 404, { message: 'No such image' })
    const isLast = image.tags.size + image.digests.size === 1
    const isUsed = [...engine.containers.values()].some((container) => imageNamed(container.image) === image)
    if (isLast && isUsed) return json(response, 409, { message: 'conflict: a container is using it' })
    image.tags.delete(name)
    image.digests.delete(name)
    if (isLast) engine.images.delete(image.id)
    return json(response, 200, [{ Untagged: name }])
  }
  const create = (response: ServerResponse, name: string, body: Record<string, unknown>) => {
    if ([...engine.containers.values()].some((container) => container.name === name)) {
      return json(response, 409, { message: 'the name is in use' })
    }
    const image = imageNamed(String(body.Image))
    if (!image) return json(response, 404, { message: `No such image: ${body.Image}` })
    const host = body.HostConfig as { RestartPolicy: { Name: string }; Binds?: string[] }
    for (const bind of host.Binds ?? []) if (!bind.startsWith('/')) engine.volumes.add(bind.split(':')[0] ?? '')
    const id = `container-${++count}`
    engine.containers.set(id, {
      id,
      name,
      image: String(body.Image),
      labels: body.Labels as Record<string, string>,
      status: 'created',
      exitCode: 0,
      restartCount: 0,
      startedAt: '',
      health: null,
      hasTerminal: body.Tty === true,
      restart: host.RestartPolicy.Name,
      log: image.log ?? '',
      files: new Set(),
    })
    return json(response, 201, { Id: id })
  }
  const start = (response: ServerResponse, container: FakeContainer) => {
    const exits = imageNamed(container.image)?.exits
    const again = container.restart === 'always' ? 'restarting' : 'exited'
    Object.assign(container, { status: exits === undefined ? 'running' : again, exitCode: exits ?? 0 })
    container.startedAt = `2026-01-01T00:00:${String(++count).padStart(2, '0')}Z`
    return json(response, 204, undefined)
  }

  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const url = new URL(request.url ?? '/', 'http://engine')
    const path = decodeURIComponent(url.pathname)
    const chunks: Buffer[] = []
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
    engine.seen.push(`${request.method} ${path}`)
    if (engine.isStuck) return
    const body = chunks.length > 0 ? JSON.parse(Buffer.concat(chunks).toString('utf8')) : {}
    if (path === '/_ping') return void response.end('OK')
    const filters = JSON.parse(url.searchParams.get('filters') ?? '{}')
    const image = /^\/images\/(.+?)(\/json|\/tag)?$/.exec(path)
    const container = /^\/containers\/([^/]+)(?:\/(\w+))?$/.exec(path)
    if (path === '/images/create') return pull(response, url, request.headers['x-registry-auth'] as string | undefined)
    if (path === '/images/json') {
      const prefix = String(filters.reference?.[0]).replace(/\*$/, '')
      const named = [...engine.images.values()].filter(({ tags }) => [...tags].some((tag) => tag.startsWith(prefix)))
      return json(response, 200, named.map(toldImage))
    }
    if (image && request.method === 'DELETE') return remove(response, image[1] ?? '')
    if (image) {
      const found = imageNamed(image[1] ?? '')
      if (!found) return json(response, 404, { message: 'No such image' })
      if (image[2] === '/json') return json(response, 200, toldImage(found))
      for (const other of engine.images.values()) other.tags.delete(nameIn(url))
      found.tags.add(nameIn(url))
      return json(response, 201, undefined)
    }
    if (path === '/containers/create') return create(response, url.searchParams.get('name') ?? '', body)
    if (path === '/containers/json') {
      const [name = '', value] = String(filters.label?.[0]).split('=')
      const found = [...engine.containers.values()].filter(({ labels }) =>
        value === undefined ? name in labels : labels[name] === value,
      )
      const told = found.map(({ id, name, labels, status }) => ({
        ...{ Id: id, Names: [`/${name}`], Labels: labels, State: status },
      }))
      return json(response, 200, told)
    }
    const found = engine.containers.get(container?.[1] ?? '')
    if (!found) return json(response, 404, { message: `There is no ${path}` })
    if (request.method === 'DELETE') {
      engine.containers.delete(found.id)
      return json(response, 204, undefined)
    }
    switch (container?.[2]) {
      case 'json':
        return json(response, 200, toldContainer(found))
      case 'start':
        return start(response, found)
      case 'rename':
        found.name = url.searchParams.get('name') ?? ''
        return json(response, 204, undefined)
      case 'archive':
        return json(response, found.files.has(url.searchParams.get('path') ?? '') ? 200 : 404, undefined)
      case 'logs':
        response.writeHead(200)
        return void response.end(found.hasTerminal ? found.log : framed(found.log))
      default:
        return json(response, 404, { message: `There is no ${path}` })
    }
  }
  const socketPath = join(folder, 'engine.sock')
  const engine: FakeEngine = {
    socketPath,
    registry: new Map(),
    wants: null,
    pullFails: null,
    isStuck: false,
    images: new Map(),
    containers: new Map(),
    volumes: new Set(),
    seen: [],
    stop: async () => {
      await new Promise((resolve) => {
        server.close(resolve)
        server.closeAllConnections()
      })
      await rm(folder, { recursive: true, force: true })
    },
  }
  await new Promise<void>((resolve) => server.listen(socketPath, resolve))
  return engine
}

function json(response: ServerResponse, status: number, content: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(content === undefined ? undefined : JSON.stringify(content))
}

function nameIn(url: URL): string {
  return `${url.searchParams.get('repo')}:${url.searchParams.get('tag')}`
}

function toldImage({ id, tags, digests }: FakeImage) {
  return { Id: id, RepoTags: [...tags], RepoDigests: [...digests] }
}

function toldContainer(container: FakeContainer) {
  const { id, name, labels, status, exitCode, restartCount, startedAt, health, hasTerminal, restart } = container
  return {
    Id: id,
    Name: `/${name}`,
    RestartCount: restartCount,
    State: {
      Status: status,
      ExitCode: exitCode,
      StartedAt: startedAt,
      ...(health ? { Health: { Status: health } } : {}),
    },
    Config: { Labels: labels, Tty: hasTerminal },
    HostConfig: { RestartPolicy: { Name: restart } },
  }
}

/** Two frames, one a stream. */
function framed(text: string): Buffer {
  const half = Math.floor(text.length / 2)
  return Buffer.concat(
    [text.slice(0, half), text.slice(half)].map((part, index) => {
      const content = Buffer.from(part)
      const head = Buffer.alloc(8)
      head[0] = index + 1
      head.writeUInt32BE(content.length, 4)
      return Buffer.concat([head, content])
    }),
  )
}

import { stat } from '../../builtin.ts'
import { fieldsOf, listOf, numberOf, parseJson, textOf } from '../../parse.ts'
import type { Redactor, Secret } from '../../secret.ts'
import { type Call, EngineError, exchange } from './engine-http.ts'
import { createPullWatch } from './pull-progress.ts'

export interface EngineImage {
  id: string
  /** `host/repository:tag`. */
  tags: string[]
  /** `host/repository@sha256:…`. */
  digests: string[]
}

export interface EngineContainer {
  id: string
  /** Without the slash before it. */
  name: string
  labels: Record<string, string>
}

export interface ContainerDetail extends EngineContainer {
  /** `created`, `running`, `restarting`, `exited`, `paused`, `dead`, `removing`. */
  status: string
  exitCode: number | null
  /** How often the engine began it anew since it was made. */
  restartCount: number
  startedAt: string
  /** `starting`, `healthy`, `unhealthy`; null: it has no health check. */
  health: string | null
  hasTerminal: boolean
  restartPolicy: string
}

export interface RegistryCredentials {
  username: string
  password: Secret
}

/** The few calls of the Docker Engine API (1.41; balenaEngine is one) that a release needs. */
export interface Engine {
  ping(signal?: AbortSignal): Promise<void>
  /** Null: it is not here. `reference`: a name, `name@digest` or an id. */
  image(reference: string, signal?: AbortSignal): Promise<EngineImage | null>
  /** Images with a name like `pattern`, which may hold `*`. */
  imagesNamed(pattern: string, signal?: AbortSignal): Promise<EngineImage[]>
  /** `repository`: `host/path`. Layers that are here are not taken again. */
  pull(options: {
    repository: string
    digest: string
    credentials: RegistryCredentials | null
    onProgress: (percent: number) => void
    signal?: AbortSignal
  }): Promise<void>
  tag(reference: string, as: { repository: string; tag: string }, signal?: AbortSignal): Promise<void>
  /** Takes a name away, and what nothing else needs with it. False: a container needs it, or it was not there. */
  removeImage(reference: string, signal?: AbortSignal): Promise<boolean>
  /** Also those that do not run. */
  containersLabelled(label: string, signal?: AbortSignal): Promise<EngineContainer[]>
  /** Null: it is gone. */
  container(id: string, signal?: AbortSignal): Promise<ContainerDetail | null>
  /** Whether a file is in the container, on its volumes too. */
  hasFile(containerId: string, path: string, signal?: AbortSignal): Promise<boolean>
  /** The last lines of both streams, at most about 64 KiB of them. */
  logs(container: ContainerDetail, lines: number, signal?: AbortSignal): Promise<string>
}

const answerLimitBytes = 4 * 1024 * 1024
const logLimitBytes = 64 * 1024

/**
 * The socket that the host gives: `DOCKER_HOST` where it names one, else the first usual place that exists. Null: the
 * host gives none.
 */
export async function findEngineSocket(dockerHost: string | undefined): Promise<string | null> {
  const named = /^unix:\/\/(\/.+)$/.exec(dockerHost ?? '')?.[1]
  const places =
    named === undefined
      ? ['/var/run/balena-engine.sock', '/host/run/balena-engine.sock', '/var/run/balena.sock', '/var/run/docker.sock']
      : [named]
  for (const place of places) {
    const found = await stat(place).catch(() => null)
    if (found?.isSocket()) return place
  }
  return null
}

/** `quietMs`: how long the engine may say nothing before a call counts as failed; a pull may last for hours. */
export function createEngine(options: {
  socketPath: string
  redactor: Redactor
  timeLimitMs?: number
  quietMs?: number
}): Engine {
  const { socketPath, redactor, timeLimitMs = 30_000, quietMs = 5 * 60_000 } = options

  const call = async (wanted: Omit<Call, 'socketPath' | 'quietMs'>): Promise<{ status: number; body: Buffer }> => {
    const { onChunk, ...rest } = wanted
    const chunks: Buffer[] = []
    let sizeBytes = 0
    const take = (chunk: Buffer) => {
      sizeBytes += chunk.length
      if (sizeBytes > answerLimitBytes) throw new EngineError('failed', 'The engine answered with more than 4 MiB.')
      chunks.push(chunk)
    }
    // A stream's own errors are in it; only a refusal is an answer to keep.
    const status = await exchange({
      ...rest,
      socketPath,
      quietMs: onChunk ? quietMs : timeLimitMs,
      onChunk: (chunk, code) => (onChunk && code < 300 ? onChunk(chunk, code) : take(chunk)),
    })
    return { status, body: Buffer.concat(chunks) }
  }
  const failed = (what: string, { status, body }: { status: number; body: Buffer }): EngineError => {
    const told = parseJson(body.toString('utf8'))
    return errorOf(what, redactor.clean(textOf(fieldsOf(told).message, 2_000) ?? ''), status)
  }
  const json = async (what: string, path: string, signal?: AbortSignal): Promise<unknown> => {
    const answer = await call({ method: 'GET', path, signal })
    if (answer.status === 404) return null
    if (answer.status !== 200) throw failed(what, answer)
    const value = parseJson(answer.body.toString('utf8'))
    if (value === undefined) throw new EngineError('failed', `The engine answered ${what} without JSON.`)
    return value
  }

  return {
    ping: async (signal) => {
      const answer = await call({ method: 'GET', path: '/_ping', signal })
      if (answer.status !== 200) throw failed('whether it is there', answer)
    },
    image: async (reference, signal) => {
      const told = await json(`about the image ${reference}`, `/images/${inPath(reference)}/json`, signal)
      return told === null ? null : imageOf(told)
    },
    imagesNamed: async (pattern, signal) => {
      const query = queryOf({ filters: JSON.stringify({ reference: [pattern] }) })
      return listOf(await json('for its images', `/images/json${query}`, signal), 10_000, imageOf)
    },
    pull: async ({ repository, digest, credentials, onProgress, signal }) => {
      const what = `for the image ${repository}@${digest}`
      const watch = createPullWatch({
        onProgress,
        onError: (message) => {
          throw errorOf(what, redactor.clean(message), 200)
        },
      })
      const answer = await call({
        method: 'POST',
        path: `/images/create${queryOf({ fromImage: repository, tag: digest })}`,
        headers: credentials === null ? {} : { 'x-registry-auth': registryAuth(credentials, repository) },
        signal,
        onChunk: (chunk) => watch.take(chunk),
      })
      if (answer.status !== 200) throw failed(what, answer)
      watch.end()
    },
    tag: async (reference, { repository, tag }, signal) => {
      const path = `/images/${inPath(reference)}/tag${queryOf({ repo: repository, tag })}`
      const answer = await call({ method: 'POST', path, signal })
      if (answer.status !== 201) throw failed(`to name the image ${reference}`, answer)
    },
    removeImage: async (reference, signal) => {
      const answer = await call({ method: 'DELETE', path: `/images/${inPath(reference)}`, signal })
      if (answer.status === 404 || answer.status === 409) return false
      if (answer.status !== 200) throw failed(`to remove the image ${reference}`, answer)
      return true
    },
    containersLabelled: async (label, signal) => {
      const query = queryOf({ all: 'true', filters: JSON.stringify({ label: [label] }) })
      return listOf(await json('for its containers', `/containers/json${query}`, signal), 1_000, (told) => {
        const { Id, Names, Labels } = fieldsOf(told)
        return { id: String(Id), name: nameOf(Array.isArray(Names) ? Names[0] : ''), labels: labelsOf(Labels) }
      })
    },
    container: async (id, signal) => {
      const told = await json(`about the container ${id}`, `/containers/${inPath(id)}/json`, signal)
      return told === null ? null : detailOf(told)
    },
    hasFile: async (containerId, path, signal) => {
      const place = `/containers/${inPath(containerId)}/archive${queryOf({ path })}`
      const answer = await call({ method: 'HEAD', path: place, signal })
      if (answer.status !== 200 && answer.status !== 404) throw failed(`whether ${path} is there`, answer)
      return answer.status === 200
    },
    logs: async ({ id, hasTerminal }, lines, signal) => {
      const query = queryOf({ stdout: 'true', stderr: 'true', tail: String(lines) })
      let kept: Buffer = Buffer.alloc(0)
      let isCut = false
      const onChunk = (chunk: Buffer) => {
        kept = Buffer.concat([kept, chunk])
        // A terminal's text may be cut anywhere; frames are read from their beginning, and the rest is left away.
        if (hasTerminal) kept = kept.subarray(-logLimitBytes)
        else if (kept.length > answerLimitBytes) isCut = true
        if (isCut) throw new EngineError('failed', 'The container wrote lines too long to be read.')
      }
      const answer = await call({ method: 'GET', path: `/containers/${inPath(id)}/logs${query}`, signal, onChunk })
      if (answer.status === 404) return ''
      if (answer.status !== 200) throw failed(`for the logs of ${id}`, answer)
      const text = hasTerminal ? kept : unframed(kept).subarray(-logLimitBytes)
      return text.toString('utf8')
    },
  }
}

function errorOf(what: string, said: string, status: number): EngineError {
  const text = said.slice(0, 500)
  if (/no space left on device/i.test(text)) {
    return new EngineError('no-space', `The engine has no room ${what}: ${text}`)
  }
  if (status === 401 || status === 403 || /unauthorized|denied|authentication required/i.test(text)) {
    return new EngineError('unauthorized', `The registry refused the engine ${what}: ${text}`)
  }
  if (/manifest unknown|not found|does not exist/i.test(text)) {
    return new EngineError('not-found', `The engine did not find what it was asked ${what}: ${text}`)
  }
  if (status === 409) return new EngineError('in-use', `The engine was asked ${what}: ${text}`)
  return new EngineError('failed', `The engine was asked ${what} and failed (${status}): ${text || 'it said nothing'}`)
}

/** JSON in Base64 of the alphabet for URLs, padded: without its padding an engine takes it for no credentials at all. */
function registryAuth({ username, password }: RegistryCredentials, repository: string): string {
  const serveraddress = repository.slice(0, repository.indexOf('/'))
  const auth = JSON.stringify({ username, password: password.reveal(), serveraddress })
  return Buffer.from(auth).toString('base64').replaceAll('+', '-').replaceAll('/', '_')
}

/** Frames of eight bytes, the last four the length in network order (Docker Engine API, "Stream format"). */
function unframed(framed: Buffer): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; at + 8 <= framed.length; ) {
    const length = framed.readUInt32BE(at + 4)
    parts.push(framed.subarray(at + 8, at + 8 + length))
    at += 8 + length
  }
  return Buffer.concat(parts)
}

function imageOf(told: unknown): EngineImage {
  const { Id, RepoTags, RepoDigests } = fieldsOf(told)
  const texts = (list: unknown) => listOf(list, 1_000, String).filter((name) => !name.startsWith('<none>'))
  return { id: String(Id), tags: texts(RepoTags), digests: texts(RepoDigests) }
}

function detailOf(told: unknown): ContainerDetail {
  const { Id, Name, State, Config, HostConfig, RestartCount } = fieldsOf(told)
  const state = fieldsOf(State)
  const config = fieldsOf(Config)
  return {
    id: String(Id),
    name: nameOf(Name),
    labels: labelsOf(config.Labels),
    status: textOf(state.Status, 32) ?? 'unknown',
    exitCode: numberOf(state.ExitCode),
    restartCount: numberOf(RestartCount) ?? 0,
    startedAt: textOf(state.StartedAt, 64) ?? '',
    health: textOf(fieldsOf(state.Health).Status, 32),
    hasTerminal: config.Tty === true,
    restartPolicy: textOf(fieldsOf(fieldsOf(HostConfig).RestartPolicy).Name, 32) ?? '',
  }
}

function nameOf(value: unknown): string {
  return (textOf(value, 400) ?? '').replace(/^\//, '')
}

function labelsOf(value: unknown): Record<string, string> {
  return Object.fromEntries(Object.entries(fieldsOf(value)).map(([name, text]) => [name, String(text)]))
}

/** Slashes, colons and `@` of image names are part of the path. */
function inPath(reference: string): string {
  return reference.split('/').map(encodeURIComponent).join('/').replaceAll('%3A', ':').replaceAll('%40', '@')
}

function queryOf(fields: Record<string, string>): string {
  return `?${new URLSearchParams(fields)}`
}

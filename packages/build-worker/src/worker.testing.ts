import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type CorebuildLine, type CorebuildResult, corebuildJobSchema, sha256OfReprDigest } from '@freehold/contracts'
import { planJob } from './image/plan.ts'
import { CoreBuildServer, type CoreBuildServerOptions } from './server.ts'

/** A server of files and of one upload, as a control plane has it, which a test may let fail. */
export interface PlayedControlPlane extends AsyncDisposable {
  url: string
  /** Files by their path: what is on disk, or bytes. */
  files: Map<string, string | Buffer>
  /** Requests so far, as `METHOD path`. */
  requests: string[]
  upload: { bytes: Buffer[]; sizeBytes: number; isComplete: boolean; sha256: string | null; contentTypes: Set<string> }
  /** Answers a request in its own way where it gives true. */
  intercept: (request: IncomingMessage, response: ServerResponse) => boolean | Promise<boolean>
}

export const uploadToken = 'upload-token-of-this-attempt'

export async function playControlPlane(): Promise<PlayedControlPlane> {
  const played: Omit<PlayedControlPlane, 'url' | typeof Symbol.asyncDispose> = {
    files: new Map(),
    requests: [],
    upload: { bytes: [], sizeBytes: 0, isComplete: false, sha256: null, contentTypes: new Set() },
    intercept: () => false,
  }
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const path = (request.url ?? '').split('?')[0] ?? ''
    played.requests.push(`${request.method} ${path}`)
    if (await played.intercept(request, response)) return
    if (path === '/upload') return takeUpload(played.upload, request, response)
    const file = played.files.get(path)
    if (file === undefined) return void response.writeHead(404).end()
    await sendFile(file, request, response)
  }
  const server = createServer((request, response) => {
    answer(request, response).catch(() => response.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return Object.assign(played, {
    url: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  })
}

async function sendFile(file: string | Buffer, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const sizeBytes = typeof file === 'string' ? (await stat(file)).size : file.length
  const [, first] = /^bytes=(\d+)-/.exec(request.headers.range ?? '') ?? []
  const start = Number(first ?? 0)
  if (first !== undefined) response.setHeader('content-range', `bytes ${start}-${sizeBytes - 1}/${sizeBytes}`)
  response.writeHead(first === undefined ? 200 : 206, { 'content-length': sizeBytes - start })
  if (typeof file === 'string') createReadStream(file, { start }).pipe(response)
  else response.end(file.subarray(start))
}

/** The append operation of resumable uploads, as contracts' `resumable-uploads.ts` has it. */
async function takeUpload(
  upload: PlayedControlPlane['upload'],
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const say = (status: number) =>
    void response
      .writeHead(status, { 'upload-offset': upload.sizeBytes, 'upload-complete': upload.isComplete ? '?1' : '?0' })
      .end()
  const forget = () => Object.assign(upload, { bytes: [], sizeBytes: 0, isComplete: false, sha256: null })
  if (request.headers.authorization !== `Bearer ${uploadToken}`) return say(401)
  if (request.method === 'HEAD') return say(204)
  if (request.method === 'DELETE') {
    forget()
    return say(204)
  }
  if (request.method !== 'PATCH') return say(405)
  if (request.headers['content-type'] !== 'application/partial-upload') return say(415)
  if (upload.isComplete || Number(request.headers['upload-offset']) !== upload.sizeBytes) return say(409)
  for await (const chunk of request as AsyncIterable<Buffer>) {
    upload.bytes.push(chunk)
    upload.sizeBytes += chunk.length
  }
  if (request.headers['upload-complete'] === '?1') {
    const hash = createHash('sha256')
    for (const chunk of upload.bytes) hash.update(chunk)
    const sha256 = hash.digest('hex')
    if (sha256OfReprDigest(request.headers['repr-digest']?.toString()) !== sha256) {
      forget()
      return say(400)
    }
    Object.assign(upload, { isComplete: true, sha256 })
  }
  say(204)
}

/** A worker in this process, with a folder of its own. */
export interface TestWorker extends AsyncDisposable {
  url: string
  folder: string
  /** All that it said about itself. */
  said: string[]
  server: CoreBuildServer
  /** What jobs left: empty when they tidied up. */
  leftovers(): Promise<string[]>
}

export async function startWorker(
  environment: Record<string, string> = {},
  options: CoreBuildServerOptions = {},
): Promise<TestWorker> {
  const folder = await mkdtemp(join(tmpdir(), 'build-worker-test-'))
  const said: string[] = []
  const server = CoreBuildServer.fromEnv(
    {
      PATH: process.env.PATH,
      COREBUILD_PORT: '0',
      COREBUILD_HOST: '127.0.0.1',
      COREBUILD_WORKDIR: folder,
      ...environment,
    },
    { log: (sentence) => said.push(sentence), ...options },
  )
  const { port } = await server.start()
  return {
    url: `http://127.0.0.1:${port}`,
    folder,
    said,
    server,
    leftovers: () => readdir(join(folder, 'jobs')),
    async [Symbol.asyncDispose]() {
      await server.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

export interface Answer {
  status: number
  headers: Record<string, string | string[] | undefined>
  result: CorebuildResult
}

export const jobPath = '/corebuild/v1/jobs/baseos-image'

/** Posts as a caller of the first kind does: plain JSON, and the answer when the job has ended. */
export async function post(
  url: string,
  body: unknown,
  headers: Record<string, string> = {},
  signal?: AbortSignal,
): Promise<Answer> {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const sent = httpRequest(url + jobPath, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    agent: false,
    ...(signal === undefined ? {} : { signal }),
  })
  sent.end(text)
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  const chunks: Buffer[] = []
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk)
  const result = JSON.parse(Buffer.concat(chunks).toString()) as CorebuildResult
  return { status: response.statusCode ?? 0, headers: response.headers, result }
}

/** A job whose lines are read while it runs. */
export interface Followed {
  status: number
  lines: CorebuildLine[]
  /** Empty lines so far. */
  quiet: () => number
  result: Promise<CorebuildResult>
  /** Goes away, as a caller that crashed. */
  leave(): void
}

export async function follow(url: string, body: unknown, headers: Record<string, string> = {}): Promise<Followed> {
  const sent = httpRequest(url + jobPath, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/x-ndjson', ...headers },
    agent: false,
  })
  sent.end(JSON.stringify(body))
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  const lines: CorebuildLine[] = []
  let quiet = 0
  const { promise, resolve, reject } = Promise.withResolvers<CorebuildResult>()
  promise.catch(() => undefined)
  const read = async () => {
    let rest = ''
    for await (const chunk of response as AsyncIterable<Buffer>) {
      const pieces = (rest + chunk.toString()).split('\n')
      rest = pieces.pop() ?? ''
      for (const piece of pieces) {
        if (piece === '') quiet += 1
        else lines.push(JSON.parse(piece) as CorebuildLine)
        const last = lines.at(-1)
        if (last !== undefined && 'result' in last) resolve(last.result)
      }
    }
  }
  read().then(() => reject(new Error('The answer ended without a result.')), reject)
  sent.on('error', reject)
  return { status: response.statusCode ?? 0, lines, quiet: () => quiet, result: promise, leave: () => sent.destroy() }
}

/** What goes into the image of an installer whose device agent comes by git. */
export function planOfGit() {
  const job = corebuildJobSchema.parse({
    id: 'build-123',
    architecture: 'amd64',
    imageKind: 'ubuntu-iso',
    cloudlyUrl: 'https://cloud.example.com',
    provisioningToken: 'one-time-token',
    upload: { url: 'https://cloud.example.com/upload', token: uploadToken },
  })
  const plan = planJob(job, { agentInstall: 'git' })
  const config = plan.configFor({ url: 'https://images.example.com/base.iso', sha256: 'a'.repeat(64) })
  if (config.kind !== 'ubuntu-iso') throw new Error('A job for an installer became something else.')
  return config
}

export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk)
  return hash.digest('hex')
}

export const sha256Of = (bytes: Buffer | string) => createHash('sha256').update(bytes).digest('hex')

/** A key of the right form; its secret half never was. */
export const sshKey =
  'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1nqJ9Xz0L8cRfUu1m1pYb0Zz6b0q0sW9bqgkq5T2dR operator@example'

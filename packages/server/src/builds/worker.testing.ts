/**
 * A build worker played from the contract (`build-workers.ts`), over real HTTP: it runs no image tool, but asks for the
 * token, streams lines, uploads made-up bytes, counts how many of its jobs run, and notices when its caller goes away.
 */
import { createHash, randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import {
  type CorebuildJob,
  type CorebuildLine,
  corebuildPaths,
  corebuildRequestSchema,
  partialUploadType,
  reprDigestOf,
} from '@freehold/contracts'

export interface PlayedJob {
  job: CorebuildJob
  headers: IncomingMessage['headers']
  response: ServerResponse
  say(line: CorebuildLine | string): void
  /** Uploads bytes in parts, as the real one does. */
  upload(
    bytes: Buffer,
    options?: { stopAfterParts?: number; sha256?: string },
  ): Promise<{ size: number; sha256: string }>
  succeed(artifact: { size: number; sha256: string }): void
  fail(error: string, code?: string): void
  /** Settles when the caller went away. */
  gone: Promise<void>
}

type Play = (job: PlayedJob) => Promise<void> | void

export async function startPlayedWorker(
  options: {
    token?: string
    capabilities?: object
    isOld?: boolean
    /** The status that something before it answers a DELETE with. */
    deletesAnswered?: number
  } = {},
) {
  const jobs: PlayedJob[] = []
  const deleted: string[] = []
  let play: Play = async (job) => {
    job.say({ progress: { phase: 'write', doneBytes: 1, totalBytes: 2 } })
    job.succeed(await job.upload(randomBytes(100_000)))
  }
  let running = 0
  let most = 0
  const told = {
    workerId: 'played-1',
    supportedBuildTypes: ['baseos-image'],
    supportedArchitectures: ['amd64', 'arm64', 'rpi'],
    supportedImageKinds: ['ubuntu-iso', 'balena-raw'],
    cpuCores: 4,
    memoryGb: 8,
    workdir: '/tmp',
    ...options.capabilities,
  }
  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => response.destroy(error as Error))
  })

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method === 'DELETE') {
      const foreign = options.deletesAnswered ?? (options.isOld === true ? 404 : undefined)
      if (foreign !== undefined) {
        response.writeHead(foreign).end('{"error":"not here"}')
        return
      }
      const id = request.url?.slice(corebuildPaths.jobs.length) ?? ''
      const isKnown = jobs.some(({ job }) => job.id === id)
      if (!isTokenRight(request)) answerFailure(response, 401, { error: 'Wrong token.', code: 'unauthenticated' })
      else if (!isKnown) answerFailure(response, 404, { error: 'There is no such job.', code: 'not-found' })
      else {
        deleted.push(request.url ?? '')
        response.writeHead(204).end()
      }
    } else if (request.url === corebuildPaths.capabilities) {
      const counts = options.isOld === true ? {} : { runningJobs: running, waitingJobs: 0, maxRunningJobs: 1 }
      response.end(JSON.stringify({ ...told, ...counts }))
    } else await run(request, response)
  }

  function isTokenRight({ headers }: IncomingMessage, inBody?: string): boolean {
    const given = [headers.authorization?.replace('Bearer ', ''), headers['x-corebuild-token'], inBody]
    return options.token === undefined || given.includes(options.token)
  }

  async function run(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { apiToken, job } = corebuildRequestSchema.parse(JSON.parse(await text(request)))
    if (!isTokenRight(request, apiToken)) return answerFailure(response, 401, { error: 'Wrong token.' })
    running += 1
    most = Math.max(most, running)
    const { promise: gone, resolve } = Promise.withResolvers<void>()
    response.on('close', () => {
      running -= 1
      resolve()
    })
    if (options.isOld !== true) response.writeHead(200, { 'content-type': 'application/x-ndjson' }).flushHeaders()
    const played = createPlayedJob({ job, headers: request.headers, response, gone })
    jobs.push(played)
    await play(played)
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    jobs,
    deleted,
    most: () => most,
    plays(next: Play): void {
      play = next
    },
    async close(): Promise<void> {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
export type PlayedWorker = Awaited<ReturnType<typeof startPlayedWorker>>

function answerFailure(response: ServerResponse, status: number, said: { error: string; code?: string }): void {
  response.writeHead(status).end(JSON.stringify({ success: false, ...said, logs: [] }))
}

function createPlayedJob(given: Pick<PlayedJob, 'job' | 'headers' | 'response' | 'gone'>): PlayedJob {
  const { job, response } = given
  const isLines = response.headersSent
  const end = (result: object) => {
    if (isLines) response.end(`${JSON.stringify({ result })}\n`)
    else response.end(JSON.stringify(result))
  }
  return {
    ...given,
    say: (line) => void (isLines && response.write(typeof line === 'string' ? line : `${JSON.stringify(line)}\n`)),
    async upload(bytes, { stopAfterParts = Number.POSITIVE_INFINITY, sha256 = sha256Of(bytes) } = {}) {
      const { url, token } = job.upload ?? { url: '', token: '' }
      const partBytes = Math.ceil(bytes.length / 3)
      for (let part = 0; part < Math.min(3, stopAfterParts); part++) {
        const body = bytes.subarray(part * partBytes, (part + 1) * partBytes)
        const headers = {
          authorization: `Bearer ${token}`,
          'content-type': partialUploadType,
          'upload-offset': String(part * partBytes),
          'upload-complete': part === 2 ? '?1' : '?0',
          ...(part === 2 ? { 'repr-digest': reprDigestOf(sha256) } : {}),
        }
        const answer = await fetch(url, { method: 'PATCH', headers, body: Uint8Array.from(body) })
        if (answer.status !== 204) throw new Error(`The upload was answered ${answer.status}: ${await answer.text()}`)
      }
      return { size: bytes.length, sha256 }
    },
    succeed: ({ size, sha256 }) =>
      end({
        success: true,
        artifact: {
          bucketName: '',
          key: job.artifactKey ?? '',
          filename: 'baseos-test.iso',
          contentType: 'application/x-iso9660-image',
          size,
          sha256,
          createdAt: 1_760_000_000_000,
        },
        logs: ['from the result'],
      }),
    fail: (error, code) => end({ success: false, error, logs: [], ...(code === undefined ? {} : { code }) }),
  }
}

export function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

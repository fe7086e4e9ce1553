import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import {
  type CorebuildJob,
  type CorebuildLine,
  corebuildLinesType,
  corebuildPaths,
  corebuildRequestSchema,
  partialUploadType,
  reprDigestOf,
} from '@freehold/contracts'

/** A job that the test ends, as the protocol has it. */
export interface PlayedJob {
  job: CorebuildJob
  say(line: CorebuildLine): void
  /** Uploads the image, and answers. */
  succeed(image: Buffer, filename: string): Promise<void>
  fail(error: string): void
}

/** A build worker that is no more than its protocol: it makes no image, but uploads the one it is given. */
export async function startPlayedWorker({ token }: { token?: string } = {}) {
  const jobs: PlayedJob[] = []
  let running = 0
  const server = createServer(async (request, response) => {
    if (request.url === corebuildPaths.capabilities) {
      return response.end(JSON.stringify({ ...capabilities, runningJobs: running }))
    }
    if (request.method === 'DELETE') {
      const isRight = token === undefined || request.headers.authorization === `Bearer ${token}`
      const code = isRight ? 'not-found' : 'unauthenticated'
      return response.writeHead(isRight ? 404 : 401).end(JSON.stringify({ success: false, error: '', code, logs: [] }))
    }
    const { job } = corebuildRequestSchema.parse(JSON.parse(await text(request)))
    response.writeHead(200, { 'content-type': corebuildLinesType }).flushHeaders()
    running += 1
    response.once('close', () => {
      running -= 1
    })
    jobs.push(playJob(job, response))
    server.emit('job')
    return undefined
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    /** The next job that was given to it. */
    async job(): Promise<PlayedJob> {
      for (;;) {
        const next = jobs.shift()
        if (next !== undefined) return next
        await once(server, 'job')
      }
    },
    stop: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

const capabilities = {
  workerId: 'attic-1',
  supportedBuildTypes: ['baseos-image'],
  supportedArchitectures: ['amd64', 'arm64', 'rpi'],
  supportedImageKinds: ['ubuntu-iso', 'balena-raw'],
  cpuCores: 4,
  memoryGb: 8,
  workdir: '/var/tmp',
  maxRunningJobs: 2,
}

function playJob(job: CorebuildJob, response: ServerResponse): PlayedJob {
  const say = (line: CorebuildLine) => void response.write(`${JSON.stringify(line)}\n`)
  return {
    job,
    say,
    async succeed(image, filename) {
      const sha256 = createHash('sha256').update(image).digest('hex')
      const headers = {
        'content-type': partialUploadType,
        'upload-offset': '0',
        'upload-complete': '?1',
        'repr-digest': reprDigestOf(sha256),
        authorization: `Bearer ${job.upload?.token}`,
      }
      const sent = await fetch(job.upload?.url ?? '', { method: 'PATCH', headers, body: Uint8Array.from(image) })
      if (sent.status !== 204) throw new Error(`The upload was answered ${sent.status}: ${await sent.text()}`)
      const place = { bucketName: '', key: '', filename, contentType: 'application/octet-stream' }
      const artifact = { ...place, size: image.length, sha256, createdAt: Date.now() }
      say({ result: { success: true, artifact, logs: [] } })
      response.end()
    },
    fail(error) {
      say({ result: { success: false, error, code: 'invalid-input', logs: [] } })
      response.end()
    },
  }
}

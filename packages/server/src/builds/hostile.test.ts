import { once } from 'node:events'
import { createServer as createHttpServer, request as httpRequest } from 'node:http'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { FreeholdError, partialUploadType, reprDigestOf } from '@freehold/contracts'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createUploads, type UploadTarget } from './uploads.ts'
import { type PlayedJob, type PlayedWorker, sha256Of, startPlayedWorker } from './worker.testing.ts'
import { type BuildsWorld, createBuildsWorld } from './world.testing.ts'

let world: BuildsWorld
let worker: PlayedWorker
beforeEach(async () => {
  world = await createBuildsWorld()
  worker = await startPlayedWorker()
  await world.workers([worker.url])
})
afterEach(async () => {
  await world.close()
  await worker.close()
})

/** Answers every connection with these bytes and says no more. */
async function answersWith(text: string): Promise<{ url: string; close(): Promise<void> }> {
  const open = new Set<Socket>()
  const server = createServer((socket) => {
    open.add(socket)
    socket.on('error', () => {})
    socket.once('data', () => socket.write(text))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      for (const socket of open) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

describe('a worker that means harm', () => {
  test('and answers with another protocol does not keep builds from the others', async () => {
    const odd = await answersWith('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n')
    await world.workers([odd.url, worker.url])
    world.start()
    const { id } = await world.create()
    await world.until(id, 'succeeded')
    expect(await world.listWorkers()).toMatchObject([{ state: 'unreachable' }, { state: 'idle' }, {}])
    await odd.close()
  })

  test('and refuses with an endless sentence is shown with a short one', async () => {
    worker.plays((job) => job.fail('x'.repeat(5_000_000), 'unauthenticated'))
    world.start()
    const { id } = await world.create()
    await expect.poll(async () => (await world.read(id)).status.message).toMatch(/xxx/)
    expect(JSON.stringify(await world.listWorkers()).length).toBeLessThan(10_000)
  })

  test('and sends garbage, a line without an end or a size below nothing makes no image', async () => {
    const tries: ((job: PlayedJob) => unknown)[] = [
      (job) => job.say('garbage\n'.repeat(30)),
      (job) => job.say(`{"log":"${'x'.repeat(30_000_000)}`),
      (job) => job.succeed({ size: -1, sha256: 'a'.repeat(64) }),
    ]
    worker.plays(async (job) => void (await tries.shift()?.(job)))
    world.start()
    const { id } = await world.create()
    await expect.poll(async () => (await world.read(id)).status.state, { timeout: 20_000 }).toBe('failed')
    const build = await world.read(id)
    expect(build.status).toMatchObject({ attempt: 3, artifact: null })
    const log = (await world.log(id)).map(({ text }) => text).join('\n')
    expect(log).toMatch(/sends what no build worker would.*sends without an end.*no whole image arrived/s)
    expect(await world.token(build)).toBe(true)
  }, 30_000)
})

describe('an upload', () => {
  const bytes = Buffer.from('0123456789')

  /** Takes uploads to one target, and counts what the store is asked for. */
  async function takeUploads(change: Partial<UploadTarget> = {}) {
    const { blobs } = world
    const seen = { created: 0, appending: 0, most: 0 }
    const counted = Object.assign(Object.create(blobs) as typeof blobs, {
      async createUpload() {
        seen.created += 1
        return blobs.createUpload()
      },
      async appendUpload(...input: Parameters<typeof blobs.appendUpload>) {
        seen.appending += 1
        seen.most = Math.max(seen.most, seen.appending)
        return blobs.appendUpload(...input).finally(() => {
          seen.appending -= 1
        })
      },
      uploadStatus: (id: string) => blobs.uploadStatus(id),
      cancelUpload: (id: string) => blobs.cancelUpload(id),
      finishUpload: (id: string, digest: string) => blobs.finishUpload(id, digest),
    })
    const uploads = createUploads({ blobs: counted })
    const target: UploadTarget = {
      uploadId: null,
      done: null,
      sha256: null,
      limitBytes: 1000,
      onComplete: async (_, finish) => void (await finish()),
      ...change,
    }
    const server = createHttpServer((request, response) => {
      uploads.handle(target, request, response).catch((error: unknown) => {
        if (response.destroyed || request.destroyed) return void response.destroy()
        response.writeHead(error instanceof FreeholdError ? error.status : 500).end()
      })
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
    const close = async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    }
    return { uploads, target, url, seen, close }
  }

  const headersAt = (offset: number) => ({ 'content-type': partialUploadType, 'upload-offset': String(offset) })
  const patch = (url: string, offset: number, headers: Record<string, string> = {}) =>
    fetch(url, { method: 'PATCH', headers: { ...headersAt(offset), ...headers }, body: Uint8Array.from(bytes) })

  test('is added to by one request at a time, however many wait for the one before', async () => {
    const taken = await takeUploads()
    const slow = httpRequest(taken.url, { method: 'PATCH', headers: { ...headersAt(0), 'content-length': 500 } })
    slow.on('error', () => {})
    slow.write('x')
    await expect.poll(() => taken.seen.appending).toBe(1)
    const statuses = await Promise.all(
      Array.from({ length: 6 }, () =>
        patch(taken.url, 1).then(
          ({ status }) => status,
          () => 0,
        ),
      ),
    )
    expect(statuses.filter((status) => status === 204)).toHaveLength(1)
    expect(taken.seen).toMatchObject({ created: 1, most: 1 })
    await taken.close()
  })

  test('that was dropped takes nothing more', async () => {
    const taken = await takeUploads()
    expect((await patch(taken.url, 0)).status).toBe(204)
    await taken.uploads.drop(taken.target)
    const last = { 'upload-complete': '?1', 'repr-digest': reprDigestOf(sha256Of(bytes)) }
    expect((await patch(taken.url, 0, last)).status).toBe(409)
    expect(taken.target).toMatchObject({ uploadId: null, done: null })
    await taken.close()
  })

  test('that does not say how long it is ends where it gets too long', async () => {
    const taken = await takeUploads()
    const endless = httpRequest(taken.url, { method: 'PATCH', headers: headersAt(0) })
    const { promise: ended, resolve } = Promise.withResolvers<void>()
    endless.on('error', () => {}).on('close', resolve)
    let sentBytes = 0
    const more = () => {
      if (endless.destroyed || sentBytes > 50_000_000) return endless.end()
      sentBytes += 65_536
      endless.write(Buffer.alloc(65_536), () => setImmediate(more))
    }
    more()
    await ended
    expect(sentBytes).toBeLessThan(20_000_000)
    await expect.poll(() => taken.target.uploadId).toBeNull()
    await taken.close()
  })
})

test.each(['https://ada:secret@example.com/base.img', 'https://ada@example.com/base.img', 'file:///etc/passwd'])(
  'a base image is not taken from %s',
  (url) => {
    expect(() => world.createBase({ url, sha256: 'a'.repeat(64) })).toThrow(/"url"/)
  },
)

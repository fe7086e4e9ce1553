import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, request as httpRequest, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { S3 } from '@aws-sdk/client-s3'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { makeUbuntuShapedIso, whyNoBaseImages } from '../../../tools/base-images.ts'
import { type RunningObjectStore, startObjectStore } from '../../../tools/object-store.ts'
import {
  type PlayedControlPlane,
  playControlPlane,
  post,
  sha256OfFile,
  startWorker,
  type TestWorker,
} from './worker.testing.ts'

const running = whyNoBaseImages() === undefined ? await startObjectStore() : { skipped: 'no base images' }
if ('skipped' in running) process.stderr.write(`Images were not sent to S3: ${running.skipped}\n`)

describe.skipIf('skipped' in running)('an image on its way to a Ceph object gateway', () => {
  const ceph = running as RunningObjectStore
  const Bucket = 'servezone-artifacts'
  const key = 'corebuild/baseos/build-123/baseos.iso'
  const name = 'ubuntu-24.04.1-live-server-amd64.iso'
  const token = 'shared-worker-token'
  let folder = ''
  let cloud: PlayedControlPlane
  let proxy: Awaited<ReturnType<typeof startProxy>>
  let s3: S3
  let worker: TestWorker

  beforeAll(async () => {
    s3 = new S3({
      endpoint: ceph.endpoint,
      region: 'us-east-1',
      forcePathStyle: true,
      credentials: { accessKeyId: ceph.accessKey, secretAccessKey: ceph.secretKey },
    })
    await s3.createBucket({ Bucket })
    folder = await mkdtemp(join(tmpdir(), 'build-worker-s3-'))
    await makeUbuntuShapedIso(join(folder, name), { payloadBytes: 20 * 1024 * 1024 })
    cloud = await playControlPlane()
    cloud.files.set(`/releases/24.04/${name}`, join(folder, name))
    const sums = `${await sha256OfFile(join(folder, name))} *${name}\n`
    cloud.files.set('/releases/24.04/SHA256SUMS', Buffer.from(sums))
  })
  afterAll(async () => {
    s3.destroy()
    await cloud[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
    await ceph.stop()
  })
  beforeEach(async () => {
    proxy = await startProxy(ceph.port)
    worker = await startWorker(
      { COREBUILD_TOKEN: token, COREBUILD_UBUNTU_MIRROR: `${cloud.url}/releases` },
      { patience: { patienceMs: 1500, pauseMs: 20, longestPauseMs: 100 } },
    )
  })
  afterEach(async () => {
    expect(await worker.leftovers()).toEqual([])
    await worker[Symbol.asyncDispose]()
    await proxy.close()
    await s3.deleteObject({ Bucket, Key: key })
  })

  /** The request of the document, to the letter but for where things are. */
  const documented = (s3Change: Record<string, unknown> = {}) => ({
    apiToken: token,
    job: {
      id: 'build-123',
      architecture: 'amd64',
      imageKind: 'ubuntu-iso',
      cloudlyUrl: cloud.url,
      provisioningToken: 'one-time-baseos-token',
      ubuntuVersion: '24.04',
      hostname: 'baseos-build-123',
      s3Descriptor: {
        endpoint: '127.0.0.1',
        accessKey: ceph.accessKey,
        accessSecret: ceph.secretKey,
        bucketName: Bucket,
        port: proxy.port,
        useSsl: false,
        region: 'us-east-1',
        ...s3Change,
      },
      artifactKey: key,
    },
  })
  const multiparts = async () => (await s3.listMultipartUploads({ Bucket })).Uploads ?? []
  const objects = async () => ((await s3.listObjectsV2({ Bucket })).Contents ?? []).map(({ Key }) => Key)

  test('arrives whole, and the answer is the one of the document', async () => {
    const { status, result } = await post(worker.url, documented())
    const object = await s3.getObject({ Bucket, Key: key })
    const hash = createHash('sha256')
    let size = 0
    for await (const chunk of object.Body as AsyncIterable<Buffer>) {
      hash.update(chunk)
      size += chunk.length
    }
    expect([status, result]).toEqual([
      200,
      {
        success: true,
        artifact: {
          bucketName: Bucket,
          key,
          filename: 'baseos.iso',
          contentType: 'application/x-iso9660-image',
          size,
          sha256: hash.digest('hex'),
          createdAt: expect.any(Number),
        },
        logs: expect.arrayContaining(['Starting the image tool for amd64 ubuntu-iso']),
      },
    ])
    expect(size).toBeGreaterThan(20 * 1024 * 1024)
    expect(object.ContentType).toBe('application/x-iso9660-image')
    expect(await multiparts()).toEqual([])
  })

  test('goes on after faults of the store at every part and at the end', async () => {
    const seen = new Set<string>()
    proxy.fault = (request) => {
      const what = `${request.method} ${/partNumber=\d+/.exec(request.url ?? '')?.[0] ?? /uploadId|uploads/.exec(request.url ?? '')}`
      if (seen.has(what)) return undefined
      seen.add(what)
      return seen.size % 2 === 0 ? 'cut' : 'busy'
    }
    expect((await post(worker.url, documented())).result).toMatchObject({ success: true })
    expect(seen.size).toBeGreaterThan(4)
    expect(await multiparts()).toEqual([])
  })

  test('is joined once, where the answer to that is lost', async () => {
    let lost = 0
    proxy.fault = (request) => {
      const isJoin = request.method === 'POST' && (request.url ?? '').includes('uploadId')
      if (!isJoin || lost > 0) return undefined
      lost += 1
      return 'lose-answer'
    }
    expect((await post(worker.url, documented())).result).toMatchObject({ success: true })
    expect(lost).toBe(1)
    expect(await objects()).toEqual([key])
  })

  test('leaves nothing where the store goes away at the last part', async () => {
    let isAway = false
    proxy.fault = (request) => {
      // 22 MiB are three parts. It comes back when the worker has given up and tidies.
      isAway ||= (request.url ?? '').includes('partNumber=3')
      if (request.method === 'DELETE') isAway = false
      return isAway ? 'cut' : undefined
    }
    const { status, result } = await post(worker.url, documented())
    expect([status, result]).toMatchObject([
      502,
      {
        success: false,
        code: 'upstream-failed',
        error: expect.stringMatching(/^The S3 store 127\.0\.0\.1:\d+ cannot be reached/),
      },
    ])
    expect(await multiparts()).toEqual([])
    expect(await objects()).toEqual([])
  })

  test('leaves nothing where the job is ended', async () => {
    const { promise: reached, resolve } = Promise.withResolvers<void>()
    proxy.fault = (request) => {
      if (!(request.url ?? '').includes('partNumber=2')) return undefined
      resolve()
      return 'hold'
    }
    const job = post(worker.url, documented())
    await reached
    const headers = { authorization: `Bearer ${token}` }
    expect((await fetch(`${worker.url}/corebuild/v1/jobs/build-123`, { method: 'DELETE', headers })).status).toBe(204)
    expect((await job).status).toBe(409)
    expect(await multiparts()).toEqual([])
    expect(await objects()).toEqual([])
  })

  test('takes away what a worker left that was killed', async () => {
    const { UploadId } = await s3.createMultipartUpload({ Bucket, Key: key })
    await s3.uploadPart({ Bucket, Key: key, UploadId, PartNumber: 1, Body: 'half' })
    const other = await s3.createMultipartUpload({ Bucket, Key: `${key}.other` })
    expect((await post(worker.url, documented())).result).toMatchObject({ success: true })
    expect((await multiparts()).map(({ Key }) => Key)).toEqual([`${key}.other`])
    await s3.abortMultipartUpload({ Bucket, Key: `${key}.other`, UploadId: other.UploadId })
  })

  test.each([
    ['a bucket that is not there', { bucketName: 'no-such-bucket' }, 502, /answered 404 \(NoSuchBucket\)/],
    ['a wrong secret', { accessSecret: 'a-wrong-secret-of-s3' }, 403, /answered 403 \(SignatureDoesNotMatch\)/],
    ['cloud metadata as its address', { endpoint: '169.254.169.254', port: 80 }, 400, /link-local/],
  ])('with %s fails, with the reason and without a secret', async (_, change, status, message) => {
    const answer = await post(worker.url, documented(change))
    expect([answer.status, answer.result]).toMatchObject([
      status,
      { success: false, error: expect.stringMatching(message) },
    ])
    const all = JSON.stringify(answer.result) + worker.said.join()
    for (const secret of ['a-wrong-secret-of-s3', ceph.secretKey]) expect(all).not.toContain(secret)
  })
})

test('a worker without a token does not dial a store inside', async () => {
  await using worker = await startWorker()
  const job = {
    id: 'a',
    architecture: 'amd64',
    imageKind: 'ubuntu-iso',
    cloudlyUrl: 'https://cloudly.example.com',
    provisioningToken: 'one-time-baseos-token',
    s3Descriptor: {
      endpoint: 'localhost',
      accessKey: 'a',
      accessSecret: 'b',
      bucketName: 'images',
      port: 1,
      useSsl: false,
    },
    artifactKey: 'a.iso',
  }
  const { status, result } = await post(worker.url, { job })
  expect([status, result]).toMatchObject([400, { error: expect.stringMatching(/private network/) }])
})

type ProxyFault = 'cut' | 'busy' | 'hold' | 'lose-answer' | undefined

/** Passes requests on to the store; `fault` says which go wrong. */
async function startProxy(port: number) {
  const played = { fault: (_: IncomingMessage): ProxyFault => undefined }
  const server = createServer((request, response) => {
    const fault = played.fault(request)
    request.on('error', () => undefined)
    if (fault === 'hold') return
    if (fault === 'cut') return void request.destroy()
    if (fault === 'busy') return void response.writeHead(503, { connection: 'close' }).end()
    const { method, url, headers } = request
    const passed = httpRequest({ port, host: '127.0.0.1', method, path: url, headers, agent: false }, (answer) => {
      if (fault === 'lose-answer') {
        answer.resume()
        answer.on('end', () => response.destroy())
        return
      }
      response.writeHead(answer.statusCode ?? 500, answer.headers)
      answer.pipe(response)
    })
    passed.on('error', () => response.destroy())
    request.pipe(passed)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return Object.assign(played, {
    port: (server.address() as AddressInfo).port,
    async close() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  })
}

import { once } from 'node:events'
import { connect } from 'node:net'
import { corebuildCapabilitiesSchema } from '@freehold/contracts'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  jobPath,
  type PlayedControlPlane,
  playControlPlane,
  post,
  startWorker,
  type TestWorker,
} from './worker.testing.ts'

const token = 'shared-worker-token'
let worker: TestWorker
let cloud: PlayedControlPlane
beforeEach(async () => {
  worker = await startWorker({ COREBUILD_TOKEN: token, COREBUILD_WORKER_ID: 'builder-1-12345' })
  cloud = await playControlPlane()
})
afterEach(async () => {
  expect(await worker.leftovers()).toEqual([])
  await worker[Symbol.asyncDispose]()
  await cloud[Symbol.asyncDispose]()
})

/** The request of the document, with places of ours. */
const documented = (change: Record<string, unknown> = {}) => ({
  id: 'build-123',
  architecture: 'amd64',
  imageKind: 'ubuntu-iso',
  cloudlyUrl: cloud.url,
  provisioningToken: 'one-time-baseos-token',
  ubuntuVersion: '24.04',
  hostname: 'baseos-build-123',
  sourceImageUrl: `${cloud.url}/gone.iso`,
  s3Descriptor: {
    endpoint: '127.0.0.1',
    accessKey: 'access-key',
    accessSecret: 'secret-key',
    bucketName: 'servezone-artifacts',
    port: 443,
    useSsl: true,
    region: 'us-east-1',
  },
  artifactKey: 'corebuild/baseos/build-123/baseos.iso',
  ...change,
})

describe('an old caller', () => {
  test('hears that the worker is well, in the words of the document', async () => {
    const answer = await fetch(`${worker.url}/health`)
    expect([answer.status, await answer.text()]).toEqual([200, '{"ok":true}'])
  })

  test('hears what the worker can do, without a token', async () => {
    const answer = await fetch(`${worker.url}/corebuild/v1/capabilities`)
    const told = corebuildCapabilitiesSchema.parse(await answer.json())
    expect(told).toMatchObject({
      workerId: 'builder-1-12345',
      supportedBuildTypes: ['baseos-image'],
      supportedArchitectures: ['amd64', 'arm64', 'rpi'],
      cpuCores: expect.any(Number),
      memoryGb: expect.any(Number),
      workdir: worker.folder,
      runningJobs: 0,
      waitingJobs: 0,
      maxRunningJobs: 1,
      maxWaitingJobs: 4,
    })
  })

  test.each<[string, Record<string, string>, Record<string, unknown>]>([
    ['Authorization', { authorization: `Bearer ${token}` }, {}],
    ['x-corebuild-token', { 'x-corebuild-token': token }, {}],
    ['apiToken', {}, { apiToken: token }],
    ['one of several', { authorization: 'Bearer wrong' }, { apiToken: token }],
    ['both, as Cloudly does', { authorization: `Bearer ${token}` }, { apiToken: token }],
  ])('gives its token by %s', async (_, headers, body) => {
    const { status, result } = await post(worker.url, { ...body, job: documented() }, headers)
    expect([status, result]).toMatchObject([502, { success: false, error: expect.stringMatching(/404/) }])
    expect(result.logs[0]).toBe('Starting the image tool for amd64 ubuntu-iso')
  })

  test.each<[Record<string, string>, unknown]>([
    [{}, {}],
    [{ authorization: `Basic ${token}` }, {}],
    [{ authorization: `Bearer ${token}x`, 'x-corebuild-token': 'shared' }, { apiToken: [token] }],
    [{}, 'no JSON'],
    [{}, { apiToken: '' }],
  ])('without the right one is told so, and no more', async (headers, body) => {
    const sent = typeof body === 'string' ? body : { ...(body as object), job: { id: 5 } }
    const answer = await post(worker.url, sent, headers)
    expect(answer.status).toBe(401)
    expect(answer.headers['www-authenticate']).toBe('Bearer')
    expect(answer.result).toMatchObject({ success: false, code: 'unauthenticated', logs: [] })
  })
})

const bearer = { authorization: `Bearer ${token}` }

describe('a request that is wrong', () => {
  test.each<[string, unknown, number, RegExp]>([
    ['no JSON', '{"job":', 400, /not JSON/],
    ['no job', {}, 400, /job: /],
    ['another kind', { job: { ...{}, id: 'a', imageKind: 'qcow2' } }, 400, /job\.imageKind: .*job\.cloudlyUrl: /],
    ['an id that is a path', { job: { id: '../../etc' } }, 400, /job\.id: letters, digits/],
    ['a body too large', { job: { id: 'x'.repeat(300 * 1024) } }, 413, /262144 bytes/],
  ])('%s is answered with what is wrong', async (_, body, status, message) => {
    const answer = await post(worker.url, body, bearer)
    expect([answer.status, answer.result]).toMatchObject([
      status,
      { success: false, error: expect.stringMatching(message) },
    ])
  })

  test('hostile values are named by their field and begin nothing', async () => {
    const { status, result } = await post(
      worker.url,
      { job: documented({ hostname: 'a\nb', provisioningToken: 'x y', artifactKey: '../a' }) },
      bearer,
    )
    expect([status, result]).toMatchObject([
      400,
      { code: 'invalid-input', error: expect.stringMatching(/job\.provisioningToken/) },
    ])
    expect(cloud.requests).toEqual([])
  })

  test.each([
    ['GET', jobPath, 405],
    ['POST', '/health', 405],
    ['GET', '/corebuild/v1/jobs/a', 405],
    ['DELETE', '/corebuild/v1/jobs/a', 401],
    ['GET', '/', 404],
    ['GET', '/../etc/passwd', 404],
  ])('%s %s is answered %i', async (method, path, status) => {
    const answer = await fetch(worker.url + path, { method })
    expect(answer.status).toBe(status)
    expect(await answer.json()).toMatchObject({ success: false, error: expect.any(String) })
  })

  test('a job that is not there cannot be ended', async () => {
    const answer = await fetch(`${worker.url}/corebuild/v1/jobs/a`, { method: 'DELETE', headers: bearer })
    expect(answer.status).toBe(404)
  })

  test('a body without an end is cut off', async () => {
    const { port } = new URL(worker.url)
    const socket = connect(Number(port), '127.0.0.1')
    socket.on('error', () => undefined)
    socket.write(`POST ${jobPath} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n`)
    const chunk = `10000\r\n${'x'.repeat(65_536)}\r\n`
    for (let sent = 0; sent < 6; sent += 1) socket.write(chunk)
    let text = ''
    socket.on('data', (data) => {
      text += data.toString()
    })
    await once(socket, 'close')
    expect(text).toMatch(/^HTTP\/1\.1 413 /)
  })
})

test('programs that are missing are told, with their packages, and what needs them is left out', async () => {
  await using poor = await startWorker({}, { searchPath: '/nowhere', freeBytes: async () => 5_000_000 })
  const told = corebuildCapabilitiesSchema.parse(await (await fetch(`${poor.url}/corebuild/v1/capabilities`)).json())
  expect(told.supportedImageKinds).toEqual([])
  expect(told.problems).toEqual([
    expect.stringMatching(/ubuntu-iso needs xorriso: apt-get install .*xorriso/),
    expect.stringMatching(/balena-raw needs .*mtools/),
    expect.stringMatching(/5 MB free/),
  ])
  await using foreign = await startWorker({ ISO_CREATOR_COMMAND: 'no-such-isocreator --fast' })
  const other = corebuildCapabilitiesSchema.parse(
    await (await fetch(`${foreign.url}/corebuild/v1/capabilities`)).json(),
  )
  expect(other.problems).toEqual(['no-such-isocreator is not installed: ISO_CREATOR_COMMAND names it.'])
})

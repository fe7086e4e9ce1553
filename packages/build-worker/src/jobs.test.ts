import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { makeDiskImage, makeUbuntuShapedIso, runProgram, whyNoBaseImages } from '../../../tools/base-images.ts'
import {
  follow,
  type PlayedControlPlane,
  playControlPlane,
  post,
  sha256Of,
  sha256OfFile,
  sshKey,
  startWorker,
  uploadToken,
} from './worker.testing.ts'

const why = whyNoBaseImages()
if (why !== undefined) process.stderr.write(`Jobs are not run in these tests: ${why}\n`)

let bases = ''
let isoSha256 = ''
let cloud: PlayedControlPlane
const agent = Buffer.from('an archive of the device agent')
beforeAll(async () => {
  if (why !== undefined) return
  bases = await mkdtemp(join(tmpdir(), 'build-worker-bases-'))
  await makeUbuntuShapedIso(join(bases, 'ubuntu.iso'), { payloadBytes: 2 * 1024 * 1024 })
  await makeDiskImage(join(bases, 'disk.img'), { table: 'mbr' })
  isoSha256 = await sha256OfFile(join(bases, 'ubuntu.iso'))
})
afterAll(() => rm(bases, { recursive: true, force: true }))
beforeEach(async () => {
  cloud = await playControlPlane()
  cloud.files.set('/ubuntu.iso', join(bases, 'ubuntu.iso'))
  cloud.files.set('/disk.img', join(bases, 'disk.img'))
  cloud.files.set('/agent.tar.gz', agent)
})
afterEach(() => cloud[Symbol.asyncDispose]())

const isoJob = (change: Record<string, unknown> = {}) => ({
  id: 'build-123',
  architecture: 'amd64',
  imageKind: 'ubuntu-iso',
  cloudlyUrl: cloud.url,
  provisioningToken: 'one-time-baseos-token',
  sourceImageUrl: `${cloud.url}/ubuntu.iso`,
  sourceImageSha256: isoSha256,
  sshPublicKey: sshKey,
  agent: { url: `${cloud.url}/agent.tar.gz`, sha256: sha256Of(agent) },
  upload: { url: `${cloud.url}/upload`, token: uploadToken },
  ...change,
})
const diskJob = (change: Record<string, unknown> = {}) => ({
  ...isoJob(),
  architecture: 'rpi',
  imageKind: 'balena-raw',
  sourceImageUrl: `${cloud.url}/disk.img`,
  sourceImageSha256: undefined,
  agent: undefined,
  compression: 'none',
  ...change,
})

describe.skipIf(why !== undefined)('a job with a place at the control plane', () => {
  test('makes an installer, sends it while it is made, and leaves nothing', async () => {
    await using worker = await startWorker()
    const { status, result } = await post(worker.url, {
      job: isoJob({ wifi: { ssid: 'shop', passphrase: 'long enough' } }),
    })
    expect(result).toEqual({
      success: true,
      artifact: {
        bucketName: '',
        key: '',
        filename: 'baseos-amd64.iso',
        contentType: 'application/x-iso9660-image',
        size: cloud.upload.sizeBytes,
        sha256: cloud.upload.sha256,
        createdAt: expect.any(Number),
      },
      logs: expect.arrayContaining([expect.stringContaining('Starting')]),
    })
    expect(status).toBe(200)
    expect(await worker.leftovers()).toEqual([])

    const image = join(worker.folder, 'image.iso')
    await writeFile(image, Buffer.concat(cloud.upload.bytes))
    await mkdir(join(worker.folder, 'tree'))
    await runProgram([
      'xorriso',
      '-osirrox',
      'on',
      '-indev',
      image,
      '-extract',
      '/freehold',
      join(worker.folder, 'tree'),
    ])
    await runProgram(['tar', '-x', '-f', join(worker.folder, 'tree/rootfs.tar'), '-C', worker.folder])
    const read = (path: string) => readFile(join(worker.folder, path), 'utf8')
    expect(await read('etc/baseos/baserunner.env')).toBe(
      `BASEOS_CLOUDLY_URL=${cloud.url}\nBASEOS_JOIN_TOKEN=one-time-baseos-token\nBASEOS_STATE_PATH=/var/lib/baseos/state.json\nBASEOS_HEARTBEAT_INTERVAL_MS=60000\n`,
    )
    expect(await read('opt/baseos/device-agent.tar.gz')).toBe(agent.toString())
    expect(await read('etc/systemd/system/multi-user.target.wants/baseos-baserunner.service')).toContain(
      'ExecStart=/opt/baseos/current/bin/baserunner start',
    )
    expect(await read('etc/netplan/60-freehold-wifi.yaml')).not.toContain('long enough')
  })

  test('makes a disk image with the configuration on its boot partition', async () => {
    await using worker = await startWorker()
    const { result } = await post(worker.url, { job: diskJob({ heartbeatIntervalMs: 5000 }) })
    expect(result).toMatchObject({
      success: true,
      artifact: { filename: 'baseos-rpi.img', sha256: cloud.upload.sha256 },
    })
    expect(await worker.leftovers()).toEqual([])
    const image = join(worker.folder, 'disk.img')
    await writeFile(image, Buffer.concat(cloud.upload.bytes))
    const table = JSON.parse(await runProgram(['sfdisk', '--json', image])) as {
      partitiontable: { partitions: { start: number }[] }
    }
    const offset = (table.partitiontable.partitions[0]?.start ?? 0) * 512
    const read = (path: string) => runProgram(['mtype', '-i', `${image}@@${offset}`, `::${path}`])
    expect(await read('baseos/baserunner.env')).toContain('BASEOS_HEARTBEAT_INTERVAL_MS=5000\n')
    expect(JSON.parse(await read('config.json'))).toMatchObject({
      baseos: { cloudlyUrl: cloud.url, joinToken: 'one-time-baseos-token', heartbeatIntervalMs: 5000 },
    })
  })

  test('tells a caller that asks for lines what happens, and the result last', async () => {
    await using worker = await startWorker()
    const job = await follow(worker.url, { job: isoJob() })
    expect(job.status).toBe(200)
    expect(await job.result).toMatchObject({ success: true })
    const kinds = job.lines.map((line) => Object.keys(line)[0])
    expect(new Set(kinds)).toEqual(new Set(['log', 'progress', 'result']))
    expect(kinds.at(-1)).toBe('result')
  })
})

/** The places where a job stands when it is ended: by a request of the worker that is not answered, or by what it says. */
const phases = ['agent', 'base', 'upload'] as const
type Phase = (typeof phases)[number]
const paths: Record<Phase, RegExp> = { agent: /^\/agent/, base: /^\/ubuntu/, upload: /^\/upload/ }

/** Holds the requests of one phase, and tells when there is one. */
function holdAt(phase: Phase): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  cloud.intercept = (request) => {
    // The size of the base is asked for by a request of its own, before.
    const isProbe = request.headers.range === 'bytes=0-0'
    const isHeld = paths[phase].test(request.url ?? '') && !isProbe && request.method !== 'DELETE'
    if (isHeld) resolve()
    return isHeld
  }
  return promise
}

describe.skipIf(why !== undefined)('a job that is ended', () => {
  test.each(phases)('by its caller going away leaves nothing, while it waits for the %s', async (phase) => {
    await using worker = await startWorker()
    const held = holdAt(phase)
    const job = await follow(worker.url, { job: isoJob() })
    await held
    job.leave()
    await expect.poll(() => worker.leftovers()).toEqual([])
    await expect.poll(() => worker.said.join()).toContain('The caller went away.')
    expect(cloud.upload).toMatchObject({ sizeBytes: 0, isComplete: false })
  })

  test.each(phases)('by request leaves nothing, while it waits for the %s', async (phase) => {
    await using worker = await startWorker()
    const held = holdAt(phase)
    const job = post(worker.url, { job: isoJob() })
    await held
    const answer = await fetch(`${worker.url}/corebuild/v1/jobs/build-123`, { method: 'DELETE' })
    expect(answer.status).toBe(204)
    expect(await worker.leftovers()).toEqual([])
    expect(await job).toMatchObject({ status: 409, result: { success: false, error: 'The job was cancelled.' } })
  })

  test('by request while it waits for its turn gives its place away', async () => {
    await using worker = await startWorker({ COREBUILD_MAX_WAITING: '1' })
    const held = holdAt('agent')
    const first = await follow(worker.url, { job: isoJob({ id: 'first' }) })
    await held
    const second = await follow(worker.url, { job: isoJob({ id: 'second' }) })
    await expect.poll(() => second.lines).toContainEqual({ waiting: 1 })
    expect((await fetch(`${worker.url}/corebuild/v1/jobs/second`, { method: 'DELETE' })).status).toBe(204)
    expect(await second.result).toMatchObject({ success: false, error: 'The job was cancelled.' })
    const told = await (await fetch(`${worker.url}/corebuild/v1/capabilities`)).json()
    expect(told).toMatchObject({ runningJobs: 1, waitingJobs: 0 })
    first.leave()
    await expect.poll(() => worker.leftovers()).toEqual([])
  })

  test('by time says so', async () => {
    await using worker = await startWorker({ COREBUILD_JOB_TIMEOUT_MS: '1500' })
    holdAt('base')
    const { status, result } = await post(worker.url, { job: isoJob() })
    expect([status, result]).toMatchObject([504, { code: 'timeout', error: expect.stringMatching(/longer than 2 s/) }])
    expect(await worker.leftovers()).toEqual([])
  })

  test('by the worker that stops is answered, and new ones are sent away', async () => {
    await using worker = await startWorker()
    const held = holdAt('base')
    const job = post(worker.url, { job: isoJob() })
    await held
    await worker.server.stop()
    expect(await job).toMatchObject({ status: 503, result: { code: 'unavailable' }, headers: { 'retry-after': '30' } })
    expect(await worker.leftovers()).toEqual([])
  })

  test('by another request for it makes room for that', async () => {
    await using worker = await startWorker()
    const held = holdAt('base')
    const first = post(worker.url, { job: isoJob() })
    await held
    cloud.intercept = () => false
    const second = await post(worker.url, { job: isoJob() })
    expect(await first).toMatchObject({ status: 409, result: { error: 'The same job was asked for again.' } })
    expect(second.result).toMatchObject({ success: true })
  })
})

describe.skipIf(why !== undefined)('a worker that is busy', () => {
  test('lets jobs wait, tells them how many are before, and sends away who comes after', async () => {
    await using worker = await startWorker({ COREBUILD_MAX_WAITING: '1' })
    const held = holdAt('agent')
    const first = await follow(worker.url, { job: isoJob({ id: 'first' }) })
    await held
    const second = await follow(worker.url, { job: isoJob({ id: 'second' }) })
    await expect.poll(() => second.lines).toContainEqual({ waiting: 1 })
    const third = await post(worker.url, { job: isoJob({ id: 'third' }) })
    expect(third).toMatchObject({ status: 503, headers: { 'retry-after': '30' }, result: { code: 'unavailable' } })
    const told = await (await fetch(`${worker.url}/corebuild/v1/capabilities`)).json()
    expect(told).toMatchObject({ runningJobs: 1, waitingJobs: 1 })
    cloud.intercept = () => false
    first.leave()
    expect(await second.result).toMatchObject({ success: true })
  })

  test('says something now and then while nothing happens', async () => {
    await using worker = await startWorker()
    const held = holdAt('agent')
    const job = await follow(worker.url, { job: isoJob() })
    await held
    await expect.poll(() => job.quiet()).toBeGreaterThan(0)
    job.leave()
  })
})

describe.skipIf(why !== undefined)('a job that cannot be done', () => {
  const damaged = async () => {
    const bytes = await readFile(join(bases, 'ubuntu.iso'))
    return bytes.fill(0xff, 17 * 2048, 200 * 2048)
  }
  const cases: [string, () => Promise<Record<string, unknown>> | Record<string, unknown>, number, RegExp][] = [
    ['a base with another sha256', () => ({ sourceImageSha256: 'a'.repeat(64) }), 400, /its sha256 is/],
    [
      'a base cut short',
      async () => {
        cloud.files.set('/cut.iso', (await readFile(join(bases, 'ubuntu.iso'))).subarray(0, 2_000_000))
        return { sourceImageUrl: `${cloud.url}/cut.iso`, sourceImageSha256: undefined }
      },
      400,
      /truncated/,
    ],
    [
      'a damaged base',
      async () => {
        cloud.files.set('/damaged.iso', await damaged())
        return { sourceImageUrl: `${cloud.url}/damaged.iso`, sourceImageSha256: undefined }
      },
      400,
      /./,
    ],
    [
      'a base that is none',
      () => {
        cloud.files.set('/none.iso', Buffer.alloc(100_000, 'x'))
        return { sourceImageUrl: `${cloud.url}/none.iso`, sourceImageSha256: undefined }
      },
      400,
      /not an ISO 9660 image/,
    ],
    ['a base that is gone', () => ({ sourceImageUrl: `${cloud.url}/gone`, sourceImageSha256: undefined }), 502, /404/],
    [
      'an agent with another sha256',
      () => ({ agent: { url: `${cloud.url}/agent.tar.gz`, sha256: 'b'.repeat(64) } }),
      400,
      /job\.agent\.sha256/,
    ],
    ['a base for another machine', () => ({ architecture: 'arm64' }), 400, /is for amd64/],
    ['an address inside', () => ({ sourceImageUrl: 'http://127.0.0.1:1/a' }), 400, /COREBUILD_ALLOW_PRIVATE_SOURCES/],
    [
      'an upload inside',
      () => ({ upload: { url: 'http://127.0.0.1:1/a', token: uploadToken } }),
      400,
      /COREBUILD_ALLOW_PRIVATE_SOURCES/,
    ],
    [
      'a token that the upload refuses',
      () => ({ upload: { url: `${cloud.url}/upload`, token: 'wrong-upload-token' } }),
      502,
      /answered 401/,
    ],
  ]
  test.each(cases)('%s is said, and nothing stays', async (_, change, status, message) => {
    await using worker = await startWorker()
    const answer = await post(worker.url, { job: isoJob(await change()) })
    expect(answer.result).toMatchObject({ success: false, error: expect.stringMatching(message) })
    // A damaged base fails at what happens to be damaged.
    if (status !== 400 || message.source !== '.') expect(answer.status).toBe(status)
    expect(await worker.leftovers()).toEqual([])
    expect(cloud.upload.sizeBytes).toBe(0)
  })

  test('for want of room is refused before anything is fetched', async () => {
    cloud.files.set('/large.iso', Buffer.alloc(400 * 1024 * 1024))
    await using worker = await startWorker({}, { freeBytes: async () => 500_000_000 })
    const { status, result } = await post(worker.url, {
      job: isoJob({ sourceImageUrl: `${cloud.url}/large.iso`, sourceImageSha256: undefined }),
    })
    expect([status, result]).toMatchObject([
      507,
      { code: 'storage-full', error: expect.stringMatching(/500 MB free.*688 MB/) },
    ])
    expect(cloud.requests).toEqual(['GET /large.iso'])
  })

  test('keeps every secret out of answers, logs and errors', async () => {
    const secrets = [
      'one-time-baseos-token',
      uploadToken,
      'secret passphrase',
      'signature-of-the-base',
      'the-worker-token',
    ]
    await using worker = await startWorker({ COREBUILD_TOKEN: 'the-worker-token' })
    const answers: unknown[] = []
    for (const change of [
      { sourceImageUrl: `${cloud.url}/gone?signature=signature-of-the-base` },
      { upload: { url: `${cloud.url}/gone?signature=signature-of-the-base`, token: uploadToken } },
      { hostname: 'one-time-baseos-token "' },
      {},
    ]) {
      const job = isoJob({
        wifi: { ssid: 'shop', passphrase: 'secret passphrase' },
        sourceImageSha256: undefined,
        ...change,
      })
      answers.push(await post(worker.url, { apiToken: 'the-worker-token', job }))
    }
    expect(answers.at(-1)).toMatchObject({ status: 200 })
    const all = JSON.stringify(answers) + worker.said.join('\n')
    for (const secret of secrets) expect(all).not.toContain(secret)
  })
})

test.skipIf(why !== undefined)('a base is fetched once and kept, also where the job names no base', async () => {
  await using worker = await startWorker({ COREBUILD_UBUNTU_MIRROR: `${cloud.url}/releases` })
  const name = 'ubuntu-24.04.1-live-server-amd64.iso'
  cloud.files.set(`/releases/24.04/${name}`, join(bases, 'ubuntu.iso'))
  cloud.files.set('/releases/24.04/SHA256SUMS', Buffer.from(`${isoSha256} *${name}\n`))
  const job = isoJob({
    sourceImageUrl: undefined,
    sourceImageSha256: undefined,
    agent: undefined,
    ubuntuVersion: undefined,
  })
  expect((await post(worker.url, { job })).result).toMatchObject({ success: true })
  cloud.files.delete(`/releases/24.04/${name}`)
  Object.assign(cloud.upload, { bytes: [], sizeBytes: 0, isComplete: false })
  expect((await post(worker.url, { job })).result).toMatchObject({ success: true })
  const none = await post(worker.url, { job: { ...job, ubuntuVersion: '22.04' } })
  expect(none).toMatchObject({
    status: 404,
    result: { error: expect.stringMatching(/lists no live-server image of Ubuntu 22\.04/) },
  })
})

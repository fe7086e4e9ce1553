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

import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  type PlayedControlPlane,
  playControlPlane,
  post,
  startWorker,
  uploadToken,
} from '../../packages/build-worker/src/worker.testing.ts'
import { makeDiskImage, runProgram } from '../../tools/base-images.ts'
import { requireIsolation, type TemporaryFolder, temporaryFolder } from './lab/index.ts'

/** More than a job must find at its start, so that the disk is full only when it is under way. */
const roomMib = 500
const mib = 1024 * 1024

let folder: TemporaryFolder
let cloud: PlayedControlPlane
let disk = ''

beforeEach(async () => {
  requireIsolation()
  folder = await temporaryFolder('build-disk-full')
  disk = join(folder.path, 'disk')
  await mkdir(disk)
  await runProgram(['mount', '-t', 'tmpfs', '-o', `size=${roomMib}m`, 'small', disk])
  cloud = await playControlPlane()
})
afterEach(async () => {
  await cloud[Symbol.asyncDispose]()
  await runProgram(['umount', disk])
  await folder.remove()
})

const job = () => ({
  id: 'build-1',
  architecture: 'rpi',
  imageKind: 'balena-raw',
  cloudlyUrl: cloud.url,
  provisioningToken: 'one-time-token',
  compression: 'none',
  sourceImageUrl: `${cloud.url}/base.img`,
  upload: { url: `${cloud.url}/upload`, token: uploadToken },
})

test('a disk that a base fills, of which nobody said how large it is, is named, and nothing stays', async () => {
  cloud.intercept = async (request, response) => {
    if (request.url !== '/base.img') return false
    const chunks = function* () {
      for (let sent = 0; sent < 2 * roomMib; sent += 1) yield Buffer.alloc(mib)
    }
    // The worker goes away when it has no room.
    await pipeline(Readable.from(chunks()), response).catch(() => undefined)
    return true
  }
  await using worker = await startWorker({ COREBUILD_WORKDIR: disk })
  const { status, result } = await post(worker.url, { job: job() })
  expect([status, result]).toMatchObject([507, { success: false, code: 'storage-full' }])
  expect(await readdir(join(disk, 'jobs'))).toEqual([])
  expect(await readdir(join(disk, 'cache')).catch(() => [])).toEqual([])
})

test('a disk that another tool fills is named, and the next job has room again', async () => {
  await makeDiskImage(join(folder.path, 'base.img'), { table: 'mbr' })
  cloud.files.set('/base.img', join(folder.path, 'base.img'))
  const [tool, marker] = [join(folder.path, 'isocreator'), join(folder.path, 'marker')]
  const out = '$(dirname "$3")/output/baseos-rpi.img'
  await writeFile(
    tool,
    `#!/bin/sh\nset -e\nif [ -e ${marker} ]; then printf image >"${out}"; exit 0; fi\ntouch ${marker}\nhead -c ${2 * roomMib * mib} /dev/zero >"${out}"\n`,
  )
  await chmod(tool, 0o755)
  await using worker = await startWorker({ COREBUILD_WORKDIR: disk, ISO_CREATOR_COMMAND: tool })
  const { status, result } = await post(worker.url, { job: job() })
  expect([status, result]).toMatchObject([
    507,
    { code: 'storage-full', error: expect.stringMatching(/^The disk of the build worker is full\. .* failed \(1\)/) },
  ])
  expect(await readdir(join(disk, 'jobs'))).toEqual([])
  expect((await post(worker.url, { job: job() })).result).toMatchObject({ success: true })
})

import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { makeDiskImage, makeUbuntuShapedIso, whyNoBaseImages } from '../../../tools/base-images.ts'
import {
  follow,
  type PlayedControlPlane,
  playControlPlane,
  post,
  sha256Of,
  sha256OfFile,
  uploadToken,
} from './worker.testing.ts'

const why = whyNoBaseImages()
let bases = ''
let folder = ''
let cloud: PlayedControlPlane
const started: ChildProcess[] = []
beforeAll(async () => {
  bases = await mkdtemp(join(tmpdir(), 'build-worker-bases-'))
  if (why !== undefined) return
  await makeUbuntuShapedIso(join(bases, 'ubuntu.iso'), { payloadBytes: 2 * 1024 * 1024 })
  await makeDiskImage(join(bases, 'disk.img'), { table: 'gpt' })
})
afterAll(() => rm(bases, { recursive: true, force: true }))
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'build-worker-process-'))
  cloud = await playControlPlane()
  cloud.files.set('/ubuntu.iso', join(bases, 'ubuntu.iso'))
  cloud.files.set('/disk.img', join(bases, 'disk.img'))
  cloud.files.set('/agent.tar.gz', Buffer.from('agent'))
})
afterEach(async () => {
  for (const child of started.splice(0)) {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
  }
  await cloud[Symbol.asyncDispose]()
  await rm(folder, { recursive: true, force: true })
})

/** The worker's own process, as it is started in earnest. */
async function startProcess(environment: Record<string, string> = {}) {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts')], {
    env: {
      PATH: process.env.PATH,
      COREBUILD_PORT: '0',
      COREBUILD_HOST: '127.0.0.1',
      COREBUILD_WORKDIR: folder,
      COREBUILD_ALLOW_PRIVATE_SOURCES: 'on',
      ...environment,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  started.push(child)
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString()
  })
  const lines = createInterface({ input: child.stdout })
  const [line] = (await Promise.race([
    once(lines, 'line'),
    once(child, 'exit').then(() => Promise.reject(new Error(`It ended: ${said}`))),
  ])) as [string]
  const { listening } = JSON.parse(line) as { listening: { port: number } }
  return { child, url: `http://127.0.0.1:${listening.port}`, said: () => said }
}

const job = async (change: Record<string, unknown> = {}) => ({
  id: 'build-123',
  architecture: 'amd64',
  imageKind: 'ubuntu-iso',
  cloudlyUrl: cloud.url,
  provisioningToken: 'one-time-baseos-token',
  sourceImageUrl: `${cloud.url}/ubuntu.iso`,
  sourceImageSha256: await sha256OfFile(join(bases, 'ubuntu.iso')),
  agent: { url: `${cloud.url}/agent.tar.gz`, sha256: sha256Of('agent') },
  upload: { url: `${cloud.url}/upload`, token: uploadToken },
  ...change,
})
const isRunning = async (pid: string) =>
  /^State:\s+[^ZX]/m.test(await readFile(`/proc/${pid}/status`, 'utf8').catch(() => ''))
const workspaces = () => readdir(join(folder, 'jobs'))

/** A program in place of the image tool; `$config` is its configuration. */
async function program(script: string): Promise<string> {
  const path = join(folder, 'isocreator')
  await writeFile(
    path,
    `#!/bin/sh\n[ "$1" = --fast ] && [ "$2" = build ] && [ "$3" = --config ] || exit 9\nconfig=$4\n${script}\n`,
  )
  await chmod(path, 0o755)
  return `'${path}' --fast`
}

const disk = {
  architecture: 'rpi',
  imageKind: 'balena-raw',
  get sourceImageUrl() {
    return `${cloud.url}/disk.img`
  },
  sourceImageSha256: undefined,
  agent: undefined,
}

describe.skipIf(why !== undefined)('a worker that is killed', () => {
  test.each(['agent', 'ubuntu', 'upload'])('while it waits for %s begins anew with nothing left', async (phase) => {
    const first = await startProcess()
    const { promise: reached, resolve } = Promise.withResolvers<void>()
    cloud.intercept = (request) => {
      const isHeld = (request.url ?? '').startsWith(`/${phase}`) && request.headers.range !== 'bytes=0-0'
      if (isHeld) resolve()
      return isHeld
    }
    const lost = await follow(first.url, { job: await job() })
    await reached
    first.child.kill('SIGKILL')
    await expect(lost.result).rejects.toThrow()
    expect(await workspaces()).toHaveLength(1)

    cloud.intercept = () => false
    const second = await startProcess()
    expect(await workspaces()).toEqual([])
    expect(second.said()).toContain('The workspaces of 1 jobs that were broken off are removed.')
    expect((await post(second.url, { job: await job() })).result).toMatchObject({ success: true })
    second.child.kill('SIGTERM')
    expect(await once(second.child, 'exit')).toEqual([0, null])
  })

  test.each([
    ['reads the base', 'xorriso', '-report_el_torito', {}],
    ['writes an installer', 'xorriso', '-outdev', {}],
    ['changes a partition', 'mcopy', '', disk],
    ['packs a disk', 'xz', '-z', disk],
  ])('while a program %s ends that too, though it hangs', async (_, name, marked, change) => {
    const [programs, pids] = [join(folder, 'programs'), join(folder, 'pids')]
    await mkdir(programs)
    const real = `PATH=\${PATH#*:} exec ${name} "$@"`
    const hang = `echo $$ >> ${pids}; sleep 3600 & echo $! >> ${pids}; wait`
    await writeFile(join(programs, name), `#!/bin/sh\ncase "$*" in *${marked}*) ${hang};; *) ${real};; esac\n`, {
      mode: 0o755,
    })
    const first = await startProcess({ PATH: `${programs}:${process.env.PATH}` })
    const lost = await follow(first.url, { job: await job(change) })
    const running = async () => (await readFile(pids, 'utf8').catch(() => '')).split('\n').filter((pid) => pid !== '')
    await expect.poll(async () => (await running()).length).toBeGreaterThanOrEqual(2)
    first.child.kill('SIGKILL')
    await expect(lost.result).rejects.toThrow()
    await startProcess()
    expect(await workspaces()).toEqual([])
    for (const pid of await running()) await expect.poll(() => isRunning(pid)).toBe(false)
  })

  test('while another tool works ends that too', async () => {
    const pids = join(folder, 'pids')
    const command = await program(`sleep 3600 >/dev/null 2>&1 </dev/null & echo $! $$ > ${pids}\nwait`)
    const first = await startProcess({ ISO_CREATOR_COMMAND: command })
    const lost = await follow(first.url, { job: await job() })
    const running = async () => (await readFile(pids, 'utf8').catch(() => '')).split(/\s+/).filter((pid) => pid !== '')
    await expect.poll(running).toHaveLength(2)
    // The worker has written down whose group it is.
    const [workspace = ''] = await workspaces()
    await expect
      .poll(() => readFile(join(folder, 'jobs', workspace, 'process-group'), 'utf8').catch(() => ''))
      .toMatch(/\d/)
    first.child.kill('SIGKILL')
    await expect(lost.result).rejects.toThrow()
    await startProcess()
    expect(await workspaces()).toEqual([])
    for (const pid of await running()) await expect.poll(() => isRunning(pid)).toBe(false)
  })
})

describe.skipIf(why !== undefined)('another image tool', () => {
  test('that works when its job is cancelled ends with all it started', async () => {
    const pids = join(folder, 'pids')
    const command = await program(`sleep 3600 & echo $! $$ > ${pids}.new; mv ${pids}.new ${pids}; wait`)
    const worker = await startProcess({ ISO_CREATOR_COMMAND: command })
    const running = post(worker.url, { job: await job() })
    const started = async () => (await readFile(pids, 'utf8').catch(() => '')).trim().split(/\s+/)
    await expect.poll(started).toHaveLength(2)
    expect((await fetch(`${worker.url}/corebuild/v1/jobs/build-123`, { method: 'DELETE' })).status).toBe(204)
    expect(await workspaces()).toEqual([])
    expect(await running).toMatchObject({ status: 409, result: { error: 'The job was cancelled.' } })
    for (const pid of await started()) await expect.poll(() => isRunning(pid)).toBe(false)
  })

  const out = `mkdir -p "$(dirname "$config")/output"`

  test('gets the configuration, and what it wrote is sent', async () => {
    const command = await program(
      `${out}; echo "building"; echo "a token: one-time-baseos-token" >&2; cp "$config" ${folder}/seen.json; env > ${folder}/env; printf image > "$(dirname "$config")/output/baseos-amd64.iso"`,
    )
    const worker = await startProcess({ ISO_CREATOR_COMMAND: command, COREBUILD_TOKEN: 'the-worker-token' })
    const { status, result } = await post(worker.url, { apiToken: 'the-worker-token', job: await job() })
    expect([status, result]).toMatchObject([
      200,
      {
        artifact: {
          filename: 'baseos-amd64.iso',
          contentType: 'application/x-iso9660-image',
          size: 5,
          sha256: sha256Of('image'),
        },
      },
    ])
    expect(Buffer.concat(cloud.upload.bytes).toString()).toBe('image')
    expect(result.logs).toContain('building')
    expect(result.logs).toContain('a token: [redacted]')
    expect(JSON.parse(await readFile(join(folder, 'seen.json'), 'utf8'))).toMatchObject({
      version: 1,
      kind: 'ubuntu-iso',
      output: { path: 'output/baseos-amd64.iso' },
      base: { url: `${cloud.url}/ubuntu.iso` },
    })
    expect(await readFile(join(folder, 'env'), 'utf8')).not.toMatch(/COREBUILD_|the-worker-token/)
    expect(await workspaces()).toEqual([])
  })

  test('may be the one of this repository', async () => {
    const tool = join(import.meta.dirname, '../../image-tool/src/main.ts')
    const worker = await startProcess({ ISO_CREATOR_COMMAND: `"${process.execPath}" '${tool}'` })
    const { result } = await post(worker.url, { job: await job() })
    expect(result).toMatchObject({
      success: true,
      artifact: { sha256: cloud.upload.sha256, size: cloud.upload.sizeBytes },
    })
    expect(cloud.upload.sizeBytes).toBeGreaterThan(2 * 1024 * 1024)
    expect(await workspaces()).toEqual([])
  })

  test.each([
    ['that fails', 'echo broken >&2; exit 3', 409, /failed \(3\)/],
    ['that somebody ends', 'kill -KILL $$', 500, /was ended by SIGKILL/],
    ['that writes nothing', 'exit 0', 409, /wrote no image/],
    [
      'that writes a link',
      `${out}; ln -s /etc/passwd "$(dirname "$config")/output/baseos-amd64.iso"`,
      409,
      /wrote no image/,
    ],
    ['that hangs', 'sleep 3600', 504, /took longer than 2 s/],
    ['that leaves a process that holds its output', 'sleep 3600 & exit 4', 409, /failed \(4\)/],
    ['that prints without end', 'yes "one-time-baseos-token and much more"', 409, /prints without end/],
    ['that prints megabytes in one line', `head -c 9000000 /dev/zero | tr '\\0' x; exit 5`, 409, /failed \(5\)/],
  ])('%s is told so, and nothing stays', async (_, script, status, message) => {
    const isTimed = script === 'sleep 3600'
    const worker = await startProcess({
      ISO_CREATOR_COMMAND: await program(script),
      ...(isTimed ? { COREBUILD_JOB_TIMEOUT_MS: '2000' } : {}),
    })
    const answer = await post(worker.url, { job: await job() })
    expect([answer.status, answer.result]).toMatchObject([
      status,
      { success: false, error: expect.stringMatching(message) },
    ])
    expect(answer.result.logs.length).toBeLessThanOrEqual(2000)
    expect(JSON.stringify(answer.result)).not.toContain('one-time-baseos-token')
    expect(await workspaces()).toEqual([])
  })

  test.each([
    ['that eats memory', '(head -c 600000000 /dev/zero; sleep 3600) | tail'],
    [
      'that eats memory in many programs',
      'for one in 1 2 3 4; do (head -c 120000000 /dev/zero; sleep 3600) | tail & done; wait',
    ],
  ])('%s is ended before the machine is short of it, and the worker goes on', async (_, script) => {
    const marker = join(folder, 'marker')
    const worker = await startProcess({
      ISO_CREATOR_COMMAND: await program(
        `if [ -e ${marker} ]; then ${out}; printf image > "$(dirname "$config")/output/baseos-amd64.iso"; exit 0; fi; touch ${marker}; ${script}`,
      ),
      COREBUILD_MEMORY_BYTES: String(400 * 1024 ** 2),
    })
    const told = await (await fetch(`${worker.url}/corebuild/v1/capabilities`)).json()
    expect(told).toMatchObject({ memoryGb: 0.4 })
    const answer = await post(worker.url, { job: await job() })
    expect([answer.status, answer.result]).toMatchObject([
      500,
      {
        code: 'internal',
        error: expect.stringMatching(/took \d+ MB of memory .* may take 420 MB \(COREBUILD_MEMORY_BYTES\)/),
      },
    ])
    expect(await workspaces()).toEqual([])
    expect((await post(worker.url, { job: await job() })).result).toMatchObject({ success: true })
  })

  test('that is not there is told so', async () => {
    const worker = await startProcess({ ISO_CREATOR_COMMAND: '/nowhere/isocreator' })
    const { status, result } = await post(worker.url, { job: await job() })
    expect([status, result]).toMatchObject([
      503,
      { error: expect.stringMatching(/not installed.*ISO_CREATOR_COMMAND/) },
    ])
  })
})

test.skipIf(why !== undefined)('the worker holds less than 200 MB, whatever the size of the image', async () => {
  const payloadBytes = 320 * 1024 * 1024
  const base = join(folder, 'large.img')
  await makeDiskImage(base, { table: 'gpt', dataBytes: payloadBytes })
  cloud.files.set('/large.img', base)
  const hash = createHash('sha256')
  let sizeBytes = 0
  cloud.intercept = async (request, response) => {
    if (request.url !== '/upload' || request.method !== 'PATCH') return false
    for await (const chunk of request as AsyncIterable<Buffer>) {
      hash.update(chunk)
      sizeBytes += chunk.length
    }
    Object.assign(cloud.upload, { sizeBytes, isComplete: request.headers['upload-complete'] === '?1' })
    response.writeHead(204, { 'upload-offset': sizeBytes }).end()
    return true
  }
  // What it may take with its programs is enough too.
  const worker = await startProcess({ COREBUILD_MEMORY_BYTES: String(256 * 1024 ** 2) })
  const change = {
    imageKind: 'balena-raw',
    compression: 'none',
    sourceImageUrl: `${cloud.url}/large.img`,
    sourceImageSha256: undefined,
  }
  const { result } = await post(worker.url, { job: await job({ ...change, agent: undefined }) })
  expect(result).toMatchObject({ success: true, artifact: { size: sizeBytes, sha256: hash.digest('hex') } })
  expect(sizeBytes).toBeGreaterThan(payloadBytes)
  const peak = /^VmHWM:\s+(\d+) kB/m.exec(await readFile(`/proc/${worker.child.pid}/status`, 'utf8'))?.[1]
  expect(Number(peak) / 1024).toBeLessThan(200)
})

test('a wrong setting ends the start with what is wrong', async () => {
  await expect(startProcess({ COREBUILD_PORT: 'http', COREBUILD_TOKEN: 'not a token' })).rejects.toThrow(
    /COREBUILD_PORT: a whole number.*COREBUILD_TOKEN/s,
  )
})

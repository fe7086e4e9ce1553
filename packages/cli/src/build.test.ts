import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import {
  type Build,
  type BuildLogLine,
  buildInput,
  buildKind,
  type ChangeEntry,
  FreeholdError,
  type Route,
  routes,
} from '@freehold/contracts'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Api, CallInput } from './api.ts'
import { CliError, exitCodes } from './exit-codes.ts'
import { describeMeasure } from './output/progress.ts'
import { run } from './program.ts'
import { nowhere } from './reference.ts'

const buildId = '019a0000-0000-7000-8000-000000000001'
const baseId = '019a0000-0000-7000-8000-000000000002'
const at = '2026-01-01T00:00:00.000Z'
const sha256 = 'a'.repeat(64)
const publicKey = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH me@home'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'freehold-builds-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

type Status = Build['status']
const artifact: Status['artifact'] = {
  ...{ filename: 'till.iso', contentType: 'application/octet-stream', sizeBytes: 2048, sha256 },
  ...{ location: { store: 'blobs', digest: `sha256:${sha256}` }, createdAt: at, expiresAt: '2026-01-15T00:00:00.000Z' },
}

/** A server whose build goes through these states, one a change; it remembers what it was asked. */
function scriptedApi(
  states: Partial<Status>[],
  log: (BuildLogLine | 'broken')[] = [],
  hostname: string | null = 'till',
) {
  let step = 0
  const asked: { path: string; input: CallInput<Route> }[] = []
  const resource = (kind: string, id: string, data: object, status: object) => ({
    ...{ kind, id, data, status, generation: 1, version: 10 + step, labels: {}, createdAt: at, updatedAt: at },
  })
  const build = () => {
    const data = { imageKind: 'ubuntu-iso', architecture: 'amd64', hostname, baseImageId: null }
    return resource('build', buildId, data, {
      ...buildKind.initialStatus,
      ...states[Math.min(step, states.length - 1)],
    })
  }
  const page = (items: unknown[]) => ({ items, nextCursor: null, version: 9 })
  const answers = new Map<Route, () => unknown>([
    [routes.builds.list, () => page([build()])],
    [routes.builds.get, build],
    [routes.builds.create, build],
    [routes.builds.cancel, build],
    [routes.baseImages.list, () => page([resource('base-image', baseId, { name: 'pi-os' }, { state: 'ready' })])],
    [
      routes.buildWorkers.list,
      () => ({
        items: [
          {
            ...{ id: 'attic', url: 'http://attic:3060', state: 'unreachable', message: 'Nothing listens there.' },
            ...{ workerId: null, architectures: [], imageKinds: [], cpuCores: null, memoryGb: null, runningJobs: 0 },
          },
        ],
      }),
    ],
  ])
  let opened = 0
  const api: Api = {
    call: async (route, input = {}) => {
      asked.push({ path: route.path, input: input as CallInput<Route> })
      return answers.get(route)?.() as never
    },
    async *lines() {
      opened += 1
      for (const line of log) {
        if (line !== 'broken') yield line as never
        else if (opened === 1) throw new FreeholdError('unavailable', 'The connection was cut.')
      }
    },
    async *changes({ signal }) {
      while (step < states.length) {
        step += 1
        yield { kind: 'build', id: buildId, version: 10 + step } as ChangeEntry
      }
      signal.throwIfAborted()
    },
  }
  return { api, asked }
}

async function freehold(commandLine: string[], api: Api, options: { stdin?: string; signal?: AbortSignal } = {}) {
  const out: string[] = []
  const error: string[] = []
  const io = {
    ...nowhere().io,
    environment: { FREEHOLD_URL: 'http://server.test', FREEHOLD_TOKEN: 'x', XDG_CONFIG_HOME: '/nonexistent' },
    stdin: Readable.from([options.stdin ?? '']),
    out: (text: string) => void out.push(text),
    error: (text: string) => void error.push(text),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  }
  const code = await run(commandLine, { io, connect: () => api })
  return { code, out: out.join(''), error: error.join('') }
}

const create = ['builds', 'create', '--kind', 'ubuntu-iso', '--architecture', 'amd64']
const building: Partial<Status> = {
  ...{ state: 'building', attempt: 1, workerId: 'w1', message: 'It is built.' },
  progress: { phase: 'write', doneBytes: 512, totalBytes: 2048 },
}

describe('builds create', () => {
  it('sends what the flags say, files read, names looked up, labels for device and build', async () => {
    const { api, asked } = scriptedApi([{}])
    const key = join(folder, 'key.pub')
    await writeFile(key, `${publicKey}\n`)
    const line = ['builds', 'create', '--kind', 'balena-raw', '--architecture', 'rpi', '--base', 'pi-os']
    const more = ['--hostname', 'till', '--ssh-key', key, '--wifi-ssid', 'shop', '--wifi-passphrase-stdin']
    const rest = ['--label', 'site=berlin', '--compression', 'zst', '--keep-for-days', '3']
    const result = await freehold([...line, ...more, ...rest], api, { stdin: 'correct horse\nmore' })
    expect(result).toMatchObject({ code: 0, out: `Building: ${buildId}.\n` })
    expect(result.error).toContain(`freehold builds watch ${buildId}`)
    const body = asked.at(-1)?.input.body as { data: object; labels: object }
    expect(body).toEqual({
      data: {
        ...{ imageKind: 'balena-raw', architecture: 'rpi', baseImageId: baseId, hostname: 'till', compression: 'zst' },
        ...{ sshPublicKey: publicKey, keepForDays: 3, deviceLabels: { site: 'berlin' } },
        wifi: { ssid: 'shop', passphrase: 'correct horse', hidden: false },
      },
      labels: { site: 'berlin' },
    })
    expect(buildInput.safeParse(body.data).success).toBe(true)
  })

  it('takes a passphrase from a file, and none where the network is open', async () => {
    const { api, asked } = scriptedApi([{}])
    const file = join(folder, 'wifi')
    await writeFile(file, 'correct horse\n')
    await freehold([...create, '--wifi-ssid', 'shop', '--wifi-passphrase-file', file, '--wifi-hidden'], api)
    expect(asked.at(-1)?.input.body).toMatchObject({ data: { wifi: { passphrase: 'correct horse', hidden: true } } })
    await freehold([...create, '--wifi-ssid', 'shop', '--wifi-open'], api)
    expect(asked.at(-1)?.input.body).toMatchObject({ data: { wifi: { passphrase: null } } })
  })

  it.each([
    [['--wifi-ssid', 'shop'], 'needs a passphrase'],
    [['--wifi-open'], 'needs its name'],
    [['--wifi-ssid', 'shop', '--wifi-open', '--wifi-passphrase-stdin'], 'comes from one place'],
    [['--download'], 'goes with --wait'],
    [['--wifi-passphrase', 'secret'], 'unknown option'],
  ])('%j is refused before anything is asked for', async (flags, said) => {
    const { api, asked } = scriptedApi([{}])
    expect(await freehold([...create, ...flags], api)).toMatchObject({ code: 2, error: expect.stringContaining(said) })
    expect(asked).toEqual([])
  })

  it('refuses a private key, and does not repeat it', async () => {
    const key = join(folder, 'key')
    await writeFile(key, '-----BEGIN OPENSSH PRIVATE KEY-----\nsecret-part\n')
    const { code, error } = await freehold([...create, '--ssh-key', key], scriptedApi([{}]).api)
    expect(code).toBe(2)
    expect(error).toContain('its public half')
    expect(error).not.toContain('secret-part')
  })

  it('--wait shows states and log, each line once though the connection broke, and says what was built', async () => {
    const lines = ['one', 'one', 'two'].map((text, index) => ({
      at: `2026-01-01T00:00:0${Math.min(index, 1)}.000Z`,
      attempt: 1,
      text,
    }))
    const log = [...lines.slice(0, 2), 'broken' as const, ...lines.slice(2)]
    const { api } = scriptedApi([{}, building, building, { state: 'succeeded', message: 'Done.', artifact }], log)
    const { code, out, error } = await freehold([...create, '--wait'], api)
    expect(code).toBe(0)
    // A line of the log bears the time at which it was said.
    expect(out).toContain('00:00:01  two\n')
    const said = out.split('\n').map((text) => text.replace(/^00:00:0\d {2}/, ''))
    expect(said.filter((text) => ['one', 'two'].includes(text))).toEqual(['one', 'one', 'two'])
    expect(said.filter((text) => text.startsWith('waiting') || text.startsWith('building'))).toEqual([
      'waiting: Waits for a build worker.',
      'building on w1: It is built.',
    ])
    expect(out).toContain(`Built till.iso, 2.0 KiB.\nsha256 ${sha256}\n`)
    expect(error).toContain('write  [#####---------------]  25 %  512 B of 2.0 KiB\n')
  })

  it.each(['failed', 'cancelled'] as const)('--wait exits 1 where it %s, and says why', async (state) => {
    const { api } = scriptedApi([{}, building, { state, message: 'The disk is full.' }])
    const { code, error } = await freehold([...create, '--wait'], api)
    expect(code).toBe(1)
    expect(error).toMatch(/^error: The build (failed|was cancelled): The disk is full\.$/m)
  })

  it('interrupted, --wait says that the build goes on, and how to end it', async () => {
    const stop = new AbortController()
    const { api } = scriptedApi([{}, building])
    const lines: Api['lines'] = async function* () {
      stop.abort(new CliError(exitCodes.interrupted, 'Interrupted.'))
      yield* []
    }
    const { code, error } = await freehold([...create, '--wait'], { ...api, lines }, { signal: stop.signal })
    expect(code).toBe(130)
    expect(error).toContain('The build goes on.')
    expect(error).toContain(`freehold builds cancel ${buildId}`)
  })

  it('--wait --json gives the build at each state and the lines of its log', async () => {
    const log = [{ at, attempt: 1, text: 'one' }]
    const { api } = scriptedApi([{}, { state: 'succeeded', message: 'Done.', artifact }], log)
    const { out } = await freehold([...create, '--wait', '--json'], api)
    const records = out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { log?: object; status?: Status })
    expect(records.filter((record) => record.log !== undefined)).toEqual([{ log: log[0] }])
    expect(records.findLast((record) => record.status !== undefined)?.status?.state).toBe('succeeded')
  })
})

describe('builds and their workers', () => {
  it('a build is named by its hostname, and its log printed without what a terminal would obey', async () => {
    const { api, asked } = scriptedApi([{ state: 'failed', message: 'No.' }], [{ at, attempt: 1, text: 'a\u001b[2Jb' }])
    expect(await freehold(['builds', 'log', 'till'], api)).toMatchObject({ code: 0, out: '00:00:00  ab\n' })
    await freehold(['builds', 'cancel', 'till'], api)
    expect(asked.at(-1)).toMatchObject({ path: routes.builds.cancel.path, input: { params: { id: buildId } } })
    expect((await freehold(['builds', 'list'], api)).out).toMatch(/till +failed +ubuntu-iso +amd64 +Ubuntu/)
  })

  it('a build without a hostname is called what its device is called, or by the end of its id', async () => {
    const { api, asked } = scriptedApi([{ state: 'failed', message: 'No.' }], [], null)
    expect((await freehold(['builds', 'list'], api)).out).toMatch(/baseos-00000001 +failed/)
    for (const name of ['baseos-00000001', '00000001']) {
      await freehold(['builds', 'cancel', name], api)
      expect(asked.at(-1)).toMatchObject({ path: routes.builds.cancel.path, input: { params: { id: buildId } } })
    }
  })

  it('workers are listed with why they cannot', async () => {
    const { out } = await freehold(['build-workers', 'list'], scriptedApi([{}]).api)
    expect(out).toMatch(/attic +unreachable +0 .*Nothing listens there\./)
  })

  it('a base image is a file or an address', async () => {
    const { api, asked } = scriptedApi([{}])
    const line = ['base-images', 'add', 'pi-os', '--architecture', 'rpi']
    expect(await freehold(line, api)).toMatchObject({ code: 2 })
    const both = [...line, 'pi.img', '--url', 'https://example.com/pi.img.xz']
    expect(await freehold(both, api)).toMatchObject({ code: 2 })
    expect(await freehold([...line, join(folder, 'missing.img')], api)).toMatchObject({ code: 2 })
    const { code, error } = await freehold([...line, 'https://example.com/pi.img.xz'], api)
    expect([code, error]).toEqual([2, expect.stringContaining('Give it with --url')])
    expect(asked).toEqual([])
  })
})

describe('how far something is', () => {
  it.each([
    [0, 100, '[--------------------]  0 %  0 B of 100 B'],
    [50, 100, '[##########----------]  50 %  50 B of 100 B'],
    [200, 100, '[####################]  100 %  200 B of 100 B'],
    [2048, null, '2.0 KiB'],
    [0, null, '…'],
  ])('%d of %s', (doneBytes, totalBytes, text) => {
    expect(describeMeasure({ label: 'x', doneBytes, totalBytes })).toBe(`x  ${text}`)
  })
})

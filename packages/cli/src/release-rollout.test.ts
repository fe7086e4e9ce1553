import { type ChangeEntry, memberStates, type Route, releaseWindowSchema, routes } from '@freehold/contracts'
import { describe, expect, it } from 'vitest'
import type { AnyResource, Api, CallInput } from './api.ts'
import { parsePhase, parseWindow } from './commands/release-phases.ts'
import { run } from './program.ts'
import { nowhere } from './reference.ts'

const channelId = '019a0000-0000-7000-8000-000000000001'
const releaseId = '019a0000-0000-7000-8000-000000000002'
const rolloutId = '019a0000-0000-7000-8000-000000000003'
const groupId = '019a0000-0000-7000-8000-000000000004'
const hostReleaseId = '019a0000-0000-7000-8000-000000000005'

function resource(kind: string, id: string, data: object, status: object): AnyResource {
  const at = '2026-01-01T00:00:00.000Z'
  return { kind, id, data, status, generation: 1, version: 1, labels: {}, createdAt: at, updatedAt: at } as AnyResource
}

/** A server whose rollout goes through these states, one a change; it remembers what it was asked. */
function scriptedApi(states: { state: string; succeeded: number; failed?: number }[]) {
  let step = 0
  const asked: { path: string; input: CallInput<Route> }[] = []
  const page = (items: unknown[]) => ({ items, nextCursor: null, version: 9 })
  const rollout = () => {
    const { state, succeeded, failed = 0 } = states[Math.min(step, states.length - 1)] ?? { state: '', succeeded: 0 }
    const counts = { ...Object.fromEntries(memberStates.map((each) => [each, 0])), succeeded, failed }
    const phases = [{ members: 10, counts, openedAt: null, reachedAt: null }]
    const status = { state, message: `It is ${state}.`, phase: 0, phases, counts, startedAt: null, finishedAt: null }
    return {
      ...resource('release-rollout', rolloutId, { channelId, releaseId, memberCount: 10 }, status),
      version: 10 + step,
    }
  }
  const members = [
    {
      deviceId: groupId,
      name: 'till-1',
      phase: 0,
      state: 'failed',
      message: 'No room.',
      at: '1970-01-01T00:00:00.000Z',
    },
  ]
  const answers = new Map<Route, () => unknown>([
    [routes.channels.list, () => page([resource('channel', channelId, { name: 'stable' }, {})])],
    [routes.deviceGroups.list, () => page([resource('device-group', groupId, { name: 'canaries' }, {})])],
    [
      routes.releases.list,
      () =>
        page([
          resource('release', releaseId, { product: 'shop', version: '2.0.0', host: null }, {}),
          resource('release', groupId, { product: 'baseos', version: '2.0.0', host: { deviceType: 'pc' } }, {}),
          resource('release', hostReleaseId, { product: 'baseos', version: '2.0.0', host: { deviceType: 'rpi' } }, {}),
        ]),
    ],
    [routes.releaseRollouts.list, () => page([rollout()])],
    [routes.releaseRollouts.get, rollout],
    [routes.releaseRollouts.create, rollout],
    [routes.releaseRollouts.abort, rollout],
    [routes.releaseRollouts.preview, () => ({ memberCount: 10, phases: [1, 9] })],
    [routes.releaseRollouts.members, () => page(members)],
  ])
  const api: Api = {
    call: async (route, input = {}) => {
      asked.push({ path: route.path, input: input as CallInput<Route> })
      return answers.get(route)?.() as never
    },
    lines: () => {
      throw new Error('Nothing asks for logs here.')
    },
    async *changes() {
      while (step < states.length) {
        step += 1
        yield { kind: 'release-rollout', id: rolloutId, version: 10 + step } as ChangeEntry
      }
    },
  }
  return { api, asked }
}

async function freehold(commandLine: string[], api: Api) {
  const out: string[] = []
  const error: string[] = []
  const io = {
    ...nowhere().io,
    environment: { FREEHOLD_URL: 'http://server.test', FREEHOLD_TOKEN: 'x', XDG_CONFIG_HOME: '/nonexistent' },
    out: (text: string) => void out.push(text),
    error: (text: string) => void error.push(text),
  }
  const code = await run(['release-rollouts', ...commandLine], { io, connect: () => api })
  return { code, out: out.join(''), error: error.join('') }
}

describe('release-rollouts', () => {
  it('create sends the phases as they are written, with channel, release and group by name', async () => {
    const { api, asked } = scriptedApi([{ state: 'running', succeeded: 0 }])
    const line = ['create', 'stable', 'shop/2.0.0', '--phase', '5%,group=canaries', '--phase', '25%,soak=60,approval']
    const result = await freehold([...line, '--phase', '100%', '--window', '22:00-05:00'], api)
    expect(result).toMatchObject({ code: 0, out: `Rolling out to 10 devices: ${rolloutId}.\n` })
    expect(asked.at(-1)?.input.body).toEqual({
      data: {
        channelId,
        releaseId,
        phases: [{ percent: 5, groupId }, { percent: 25, soakMinutes: 60, approval: true }, { percent: 100 }],
        window: { from: '22:00', to: '05:00' },
      },
    })
  })

  it('create names the release of a host as everywhere else, by its type of device too', async () => {
    const { api, asked } = scriptedApi([{ state: 'running', succeeded: 0 }])
    expect(await freehold(['create', 'stable', 'baseos/rpi/2.0.0'], api)).toMatchObject({ code: 0 })
    expect(asked.at(-1)?.input.body).toMatchObject({ data: { releaseId: hostReleaseId } })
    expect(await freehold(['create', 'stable', 'baseos/2.0.0'], api)).toMatchObject({ code: 4 })
  })

  it('create --preview begins nothing', async () => {
    const { api, asked } = scriptedApi([])
    const { out } = await freehold(['create', 'stable', 'shop/2.0.0', '--phase', '5%', '--preview'], api)
    expect(out).toMatch(/PHASE +DEVICES\n1 +1\n2 +9\n/)
    expect(asked.at(-1)?.path).toBe(routes.releaseRollouts.preview.path)
  })

  it('watch shows each state once and exits 0 only where it succeeded', async () => {
    const { api } = scriptedApi([
      { state: 'running', succeeded: 0 },
      { state: 'running', succeeded: 5 },
      { state: 'succeeded', succeeded: 10 },
    ])
    const { code, out } = await freehold(['watch', 'stable'], api)
    expect(code).toBe(0)
    expect(out.split('\n')).toEqual([
      '00:00:00  running  phase 1/1  [--------------------]  0 of 10  It is running.',
      '00:00:00  running  phase 1/1  [##########----------]  5 of 10  It is running.',
      '00:00:00  succeeded  phase 1/1  [####################]  10 of 10  It is succeeded.',
      '',
    ])
  })

  it.each(['stopped', 'aborted', 'superseded'])('watch exits 1 where it was %s', async (state) => {
    const { api } = scriptedApi([
      { state: 'running', succeeded: 0 },
      { state, succeeded: 5, failed: 1 },
    ])
    const { code, error } = await freehold(['watch', rolloutId], api)
    expect(code).toBe(1)
    expect(error).toMatch(/^error: The rollout was /)
  })

  it('abort keeps unless it is told to revert', async () => {
    const { api, asked } = scriptedApi([{ state: 'aborted', succeeded: 1 }])
    await freehold(['abort', rolloutId], api)
    expect(asked.at(-1)?.input.body).toEqual({ devices: 'keep' })
    await freehold(['abort', rolloutId, '--revert'], api)
    expect(asked.at(-1)?.input.body).toEqual({ devices: 'revert' })
  })

  it('members shows those in one state', async () => {
    const { api, asked } = scriptedApi([{ state: 'stopped', succeeded: 1 }])
    const { out } = await freehold(['members', rolloutId, '--state', 'failed'], api)
    expect(asked.at(-1)?.input.query).toEqual({ limit: 500, state: 'failed' })
    expect(out).toMatch(/till-1 +1 +failed +0s +No room\./)
  })
})

describe('a phase on the command line', () => {
  it.each([
    ['5%', { percent: 5 }],
    ['0.5%', { percent: 0.5 }],
    ['20', { count: 20 }],
    ['rest', {}],
    ['10%, success=95, errors=2', { percent: 10, successPercent: 95, errorPercent: 2 }],
  ])('%s', (text, expected) => {
    expect(parsePhase(text)).toEqual(expected)
  })

  it.each(['', '101%', '-5%', 'half', '5%,soon', '5%,soak=x', '5%,group=', '0'])('"%s" is refused', (text) => {
    expect(() => parsePhase(text)).toThrow(/no phase/)
  })

  it('has its window with the days it begins on', () => {
    expect(parseWindow('sat,sun@08:00-12:00')).toEqual({ from: '08:00', to: '12:00', days: ['sat', 'sun'] })
    expect(() => parseWindow('sunday@08:00-12:00')).toThrow(/no window/)
    expect(() => parseWindow('8-12')).toThrow(/no window/)
    expect(() => parseWindow('22:00-22:00')).toThrow(/never open/)
    expect(releaseWindowSchema.safeParse({ from: '22:00', to: '22:00' }).error?.message).toMatch(/never open/)
  })
})

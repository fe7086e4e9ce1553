import { type ChangeEntry, type Route, routes } from '@freehold/contracts'
import { expect, test } from 'vitest'
import type { AnyResource, Api } from './api.ts'
import { run } from './program.ts'
import { nowhere } from './reference.ts'

const serviceId = '019a0000-0000-7000-8000-000000000001'
const rolloutId = '019a0000-0000-7000-8000-000000000002'

/** A server whose rollout goes through these phases, one a change; the last one stays. */
function scriptedApi(phases: { phase: string; failure?: object; message?: string }[]): Api {
  let step = 0
  const service = resource('service', serviceId, { name: 'web' }, { rolloutId })
  const rollout = () => {
    const { phase, failure = null, message } = phases[Math.min(step, phases.length - 1)] ?? { phase: '' }
    const history = phases.slice(0, step + 1).map((each, index) => ({
      at: `2026-01-01T00:00:0${index}.000Z`,
      message: `It is ${each.phase}.`,
    }))
    const status = { phase, message: message ?? `It is ${phase}.`, failure, history }
    return { ...resource('rollout', rolloutId, { serviceId, revisionNumber: 3 }, status), version: 10 + step }
  }
  const answers = new Map<Route, () => unknown>([
    [routes.services.list, () => ({ items: [service], nextCursor: null, version: 9 })],
    [routes.services.get, () => service],
    [routes.services.deploy, () => ({ rolloutId, revisionId: rolloutId, revisionNumber: 3 })],
    [routes.rollouts.list, () => ({ items: [], nextCursor: null, version: 9 })],
    [routes.rollouts.get, rollout],
  ])
  return {
    call: async (route) => answers.get(route)?.() as never,
    lines: () => {
      throw new Error('Nothing asks for logs here.')
    },
    async *changes() {
      while (step < phases.length) {
        step += 1
        yield { kind: 'rollout', id: rolloutId, version: 10 + step } as ChangeEntry
      }
    },
  }
}

function resource(kind: string, id: string, data: object, status: object): AnyResource {
  const at = '2026-01-01T00:00:00.000Z'
  return { kind, id, data, status, generation: 1, version: 1, labels: {}, createdAt: at, updatedAt: at } as AnyResource
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
  const code = await run(commandLine, { io, connect: () => api })
  return { code, out: out.join(''), error: error.join('') }
}

const failing = [
  { phase: 'starting' },
  { phase: 'reverting' },
  {
    phase: 'failed',
    failure: { outcome: 'failed', reason: 'It exited with 1.', logTail: ['fatal: no database'] },
    message: 'It exited with 1. Revision 2 serves.',
  },
]

test('deploy tells each step once and exits 0 when the new revision serves', async () => {
  const result = await freehold(
    ['deploy', 'web'],
    scriptedApi([{ phase: 'starting' }, { phase: 'settling' }, { phase: 'succeeded' }]),
  )
  expect(result).toEqual({
    code: 0,
    out: '00:00:00  It is starting.\n00:00:01  It is settling.\n00:00:02  It is succeeded.\nweb runs revision 3.\n',
    error: '',
  })
})

test('deploy exits 1 when it failed, with the reason, the last log lines and what serves now', async () => {
  const result = await freehold(['deploy', 'web'], scriptedApi(failing))
  expect(result.code).toBe(1)
  expect(result.error).toMatch(
    /rollout of web to revision 3 failed\.\n {2}It exited with 1\. Revision 2 serves\.\n {2}Its last log lines:\n {4}fatal: no database\n/,
  )
})

test('an aborted or superseded rollout is no success either', async () => {
  for (const phase of ['aborted', 'superseded']) {
    expect((await freehold(['rollout', 'watch', 'web'], scriptedApi([{ phase }]))).code).toBe(1)
  }
})

test('deploy --json prints the final rollout as one document, watch --json each state on a line', async () => {
  const deployed = await freehold(['deploy', 'web', '--json'], scriptedApi(failing))
  expect(JSON.parse(deployed.out)).toMatchObject({ kind: 'rollout', status: { phase: 'failed' } })
  const watched = await freehold(['rollouts', 'watch', 'web', '--json'], scriptedApi(failing))
  const phases = watched.out
    .trimEnd()
    .split('\n')
    .map((line) => (JSON.parse(line) as AnyResource).status.phase)
  expect(phases).toEqual(['starting', 'reverting', 'failed'])
})

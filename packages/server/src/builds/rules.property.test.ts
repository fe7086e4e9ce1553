import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { jobsOf, planDispatch, roomOf, type SeenWorker } from './choose.ts'
import { type BuildStatus, begun, cancelled, failed, givenBack, lost, progressed, refused, succeeded } from './kind.ts'

const kinds = ['ubuntu-iso', 'balena-raw'] as const
const architectures = ['amd64', 'arm64', 'rpi'] as const
const counts = fc.integer({ min: 0, max: 3 })

const capabilities = fc.record(
  {
    workerId: fc.constant('w'),
    supportedBuildTypes: fc.subarray(['baseos-image', 'other'], { minLength: 1 }),
    supportedArchitectures: fc.subarray([...architectures]),
    supportedImageKinds: fc.subarray([...kinds]),
    cpuCores: counts,
    memoryGb: counts,
    workdir: fc.constant(''),
    runningJobs: counts,
    waitingJobs: counts,
    maxRunningJobs: fc.integer({ min: 1, max: 3 }),
    problems: fc.array(fc.constant('A program is missing.'), { maxLength: 2 }),
  },
  {
    requiredKeys: [
      'workerId',
      'supportedBuildTypes',
      'supportedArchitectures',
      'supportedImageKinds',
      'cpuCores',
      'memoryGb',
      'workdir',
    ],
  },
)
const workers = fc
  .array(
    fc.record({
      isLocal: fc.boolean(),
      capabilities: fc.oneof({ weight: 5, arbitrary: capabilities }, fc.constant('it is away')),
      ours: counts,
      refused: fc.oneof({ weight: 6, arbitrary: fc.constant(null) }, fc.constant('it does not accept the token')),
      resting: fc.oneof({ weight: 4, arbitrary: fc.constant(null) }, fc.constant('it rests')),
    }),
    { maxLength: 6 },
  )
  .map((list) => list.map((worker, index) => ({ ...worker, id: `worker-${index}` })))
const needs = fc
  .array(
    fc.record({
      imageKind: fc.constantFrom(...kinds),
      architecture: fc.constantFrom(...architectures),
      avoid: fc.subarray(['worker-0', 'worker-1', 'worker-2']).map((ids) => new Set(ids)),
    }),
    { maxLength: 8 },
  )
  .map((list) => list.map((need, index) => ({ ...need, buildId: `build-${index}` })))

function isAble(worker: SeenWorker, need: { imageKind: string; architecture: string }): boolean {
  const { capabilities: told, refused, resting } = worker
  return (
    typeof told !== 'string' &&
    refused === null &&
    resting === null &&
    told.supportedBuildTypes.includes('baseos-image') &&
    told.supportedImageKinds.includes(need.imageKind) &&
    told.supportedArchitectures.includes(need.architecture)
  )
}

describe('a choice of workers', () => {
  test('gives no worker what it cannot do, none more than it takes, and leaves no build waiting that one could take', () => {
    fc.assert(
      fc.property(needs, workers, (wanted, seen) => {
        const plan = planDispatch(wanted, seen)
        const given = new Map<string, number>()
        for (const need of wanted) {
          const choice = plan.get(need.buildId)
          const free = seen.filter(
            (worker) =>
              isAble(worker, need) &&
              jobsOf({ ...worker, ours: worker.ours + (given.get(worker.id) ?? 0) }) < roomOf(worker),
          )
          if (choice === undefined || 'why' in choice) {
            expect(free).toEqual([])
            expect(choice).toMatchObject({ why: expect.stringMatching(/\.$/) })
            continue
          }
          expect(free.map(({ id }) => id)).toContain(choice.workerId)
          if (free.some(({ id }) => !need.avoid.has(id))) expect(need.avoid.has(choice.workerId)).toBe(false)
          given.set(choice.workerId, (given.get(choice.workerId) ?? 0) + 1)
        }
      }),
    )
  })

  test('takes the least busy of workers that are alike', () => {
    const like = { isLocal: false, refused: null, resting: null, ours: 0 }
    const told = {
      workerId: 'w',
      supportedBuildTypes: ['baseos-image'],
      supportedArchitectures: ['amd64'],
      supportedImageKinds: ['ubuntu-iso'],
      cpuCores: 1,
      memoryGb: 1,
      workdir: '',
      maxRunningJobs: 4,
    }
    const seen = [3, 1, 2].map((runningJobs) => ({
      ...like,
      id: `${runningJobs}`,
      capabilities: { ...told, runningJobs },
    }))
    const need = { buildId: 'b', imageKind: 'ubuntu-iso', architecture: 'amd64', avoid: new Set<string>() } as const
    expect(planDispatch([need], seen).get('b')).toEqual({ workerId: '1' })
    const local = { ...like, id: 'local', isLocal: true, capabilities: { ...told, runningJobs: 0 } }
    expect(planDispatch([need], [...seen, local]).get('b')).toEqual({ workerId: '1' })
  })
})

test('whatever happens to a build in whatever order, its states go forward, and what has ended stays as it is', () => {
  const at = '2026-03-01T00:00:00.000Z'
  const artifact = {
    filename: 'a.iso',
    contentType: 'application/octet-stream',
    sizeBytes: 1,
    sha256: 'a'.repeat(64),
    location: null,
    createdAt: at,
    expiresAt: at,
  }
  const attempt = fc.integer({ min: 0, max: 4 })
  const events = fc.array(
    fc.oneof(
      fc.constant((status: BuildStatus) => begun(status, { workerId: 'w', at })),
      fc.constant((status: BuildStatus) => cancelled(status, { at })),
      fc.constant((status: BuildStatus) => refused(status, { message: 'No.', at })),
      attempt.map((number) => (status: BuildStatus) => givenBack(status, { attempt: number, message: 'Busy.', at })),
      attempt.map((number) => (status: BuildStatus) => lost(status, { attempt: number, message: 'Gone.', at })),
      attempt.map((number) => (status: BuildStatus) => failed(status, { attempt: number, message: 'Bad.', at })),
      attempt.map((number) => (status: BuildStatus) => succeeded(status, { attempt: number, artifact, at })),
      attempt.map(
        (number) => (status: BuildStatus) => progressed(status, { attempt: number, progress: null, message: '' }),
      ),
    ),
    { maxLength: 30 },
  )
  const first: BuildStatus = {
    state: 'waiting',
    message: '',
    attempt: 0,
    workerId: null,
    progress: null,
    startedAt: null,
    endedAt: null,
    artifact: null,
  }
  fc.assert(
    fc.property(events, (happens) => {
      let status = first
      for (const event of happens) {
        const next = event(status)
        if (next === undefined) continue
        expect(status.endedAt).toBeNull()
        expect(next.attempt).toBeLessThanOrEqual(3)
        expect(next.attempt).toBeGreaterThanOrEqual(0)
        expect(next.endedAt !== null).toBe(['succeeded', 'failed', 'cancelled'].includes(next.state))
        expect(next.artifact !== null).toBe(next.state === 'succeeded')
        status = next
      }
    }),
  )
})

import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Build,
  buildKind,
  type CorebuildJob,
  FreeholdError,
  joinTokenKind,
  partialUploadType,
  reprDigestOf,
} from '@freehold/contracts'
import { createFakeClock, createRandom, type Random } from '@freehold/reconcile'
import { expect, test } from 'vitest'
import { attemptsAtMost, isOpen } from './kind.ts'
import { sha256Of } from './worker.testing.ts'
import type { JobOutcome, WorkerClient } from './worker-client.ts'
import { type BuildsWorld, createBuildsWorld, passphrase } from './world.testing.ts'

const hourMs = 3_600_000
const seeds = Number(process.env.FREEHOLD_BUILD_SIMULATIONS ?? 6)
const whims = ['ok', 'slow', 'vanishes', 'silent', 'busy', 'garbage', 'liar', 'refuses', 'breaks', 'final'] as const

/**
 * Builds, three workers of bad character played in memory, cancels and restarts, in virtual time under a seed. Store, blobs
 * and uploads are real; how fast they are is not decided by the seed.
 */
async function simulate(seed: number) {
  const random = createRandom(seed)
  /** Real transfers under way: virtual time waits for them. */
  const transfers = { count: 0 }
  const clock = createFakeClock({
    startMs: Date.parse('2026-03-01T00:00:00Z'),
    settle: async () => {
      do await sleep(2)
      while (transfers.count > 0)
    },
  })
  const secrets = new Set<string>([passphrase, JSON.stringify(passphrase).slice(1, -1)])
  const running = new Map<string, number>()
  const faults: string[] = []
  let isCalm = false

  const connect = ({ url, token }: { url: string; token: { reveal(): string } | null }): WorkerClient => {
    if (token !== null) secrets.add(token.reveal())
    return {
      async capabilities() {
        if (!isCalm && random.next() < 0.15) throw new FreeholdError('unavailable', 'It cannot be asked: it is away.')
        const supportedImageKinds = url.endsWith('3') ? ['balena-raw'] : ['ubuntu-iso', 'balena-raw']
        const arms = { supportedArchitectures: ['amd64', 'arm64'], supportedBuildTypes: ['baseos-image'] }
        return { workerId: url, ...arms, supportedImageKinds, cpuCores: 2, memoryGb: 2, workdir: '', runningJobs: 0 }
      },
      admits: async () => (isCalm || random.next() < 0.5 ? 'yes' : 'unknown'),
      async build(job, options) {
        const id = job.id.split('.')[0] ?? ''
        secrets.add(job.provisioningToken).add(job.upload?.token ?? passphrase)
        running.set(id, (running.get(id) ?? 0) + 1)
        if ((running.get(id) ?? 0) > 1)
          faults.push(`${job.id} was built twice at a time, ${JSON.stringify([...running])}`)
        try {
          const whim = isCalm ? 'ok' : whims[Math.floor(random.next() * whims.length)]
          return await work(whim ?? 'ok', job, options)
        } finally {
          running.set(id, (running.get(id) ?? 1) - 1)
        }
      },
      cancel: async () => {},
    }
  }

  async function work(
    whim: (typeof whims)[number],
    job: CorebuildJob,
    { signal, onLine, onSign }: Parameters<WorkerClient['build']>[1],
  ): Promise<JobOutcome> {
    const failed = (error: string, code: 'internal' | 'unauthenticated' | 'invalid-input'): JobOutcome => ({
      kind: 'result',
      result: { success: false, error: `${error} ${job.provisioningToken}`, code, logs: [] },
    })
    if (whim === 'busy') return { kind: 'busy', retryAfterMs: 5_000 }
    if (whim === 'refuses') return failed('Wrong token.', 'unauthenticated')
    onLine({ log: `the job is ${JSON.stringify(job)}` })
    onLine({ progress: { phase: 'write', doneBytes: random.next(), totalBytes: 1 } })
    for (let round = 0; round < (whim === 'slow' ? 40 : 1) && !signal.aborted; round++) {
      await clock.sleep(8_000, signal)
      onSign()
    }
    if (whim === 'silent') {
      await new Promise<void>((resolve) => {
        signal.addEventListener('abort', () => resolve(), { once: true })
        if (signal.aborted) resolve()
      })
    }
    if (signal.aborted) return { kind: 'lost', reason: 'it was not waited for any longer' }
    if (whim === 'vanishes') {
      await upload(job, { isWhole: false })
      return { kind: 'lost', reason: 'broke the connection off' }
    }
    if (whim === 'breaks') return failed('It broke.', 'internal')
    if (whim === 'final') return failed('The base is none.', 'invalid-input')
    if (whim === 'liar') return done({ size: 5, sha256: 'f'.repeat(64) })
    const made = await upload(job, { isWhole: true })
    return done(whim === 'garbage' ? { ...made, sha256: '0'.repeat(64) } : made)
  }

  /** What the worker hears is its own affair: it may have been given up meanwhile. */
  async function upload({ upload: to }: CorebuildJob, { isWhole }: { isWhole: boolean }) {
    const bytes = randomBytes(3_000)
    const sha256 = sha256Of(bytes)
    transfers.count += 1
    try {
      await fetch(to?.url ?? '', {
        method: 'PATCH',
        headers: {
          authorization: `Bearer ${to?.token}`,
          'content-type': partialUploadType,
          'upload-offset': '0',
          ...(isWhole ? { 'upload-complete': '?1', 'repr-digest': reprDigestOf(sha256) } : {}),
        },
        body: Uint8Array.from(bytes),
      })
    } finally {
      transfers.count -= 1
    }
    return { size: bytes.length, sha256 }
  }

  const world = await createBuildsWorld({ clock, connect: connect as never })
  try {
    await world.workers(
      [1, 2, 3].map((number) => ({ url: `http://worker-${number}`, token: `token-of-worker-${number}` })),
    )
    world.start()
    const ids = await live(world, { random, advance: clock.advance })
    isCalm = true
    const allEnded = async () => (await Promise.all(ids.map(world.read))).every(({ status }) => !isOpen(status))
    for (let hour = 0; hour < 24 && !(await allEnded()); hour++) await clock.advance(hourMs)
    await clock.advance(60_000)
    expect(faults).toEqual([])
    await checkAll(world, ids)
    const said = (await world.everythingSaid()).replaceAll(String.raw`\"`, '"').replaceAll('\\', '')
    for (const secret of secrets) expect(said.includes(secret), `a secret shows (seed ${seed})`).toBe(false)
    return (await Promise.all(ids.map(world.read))).map(({ status }) => status.state)
  } finally {
    const closing = world.close()
    for (let round = 0; round < 50; round++) await clock.advance(100)
    await closing
  }
}

/** Some hours in which people ask for images, change their minds, and the control plane ends now and then. */
async function live(
  world: BuildsWorld,
  { random, advance }: { random: Random; advance: (durationMs: number) => Promise<void> },
): Promise<string[]> {
  const ids: string[] = []
  for (let step = 0; step < 14; step++) {
    const what = random.next()
    if (what < 0.55 || ids.length === 0) {
      const architecture = random.next() < 0.5 ? 'amd64' : 'arm64'
      ids.push((await world.create({ architecture, wifi: { ssid: 'shop', passphrase } })).id)
    } else if (what < 0.7) {
      const id = ids[Math.floor(random.next() * ids.length)] ?? ''
      await world.cancel(id).catch((error: unknown) => {
        if (!(error instanceof FreeholdError && error.code === 'conflict')) throw error
      })
    } else if (what < 0.8) await world.restart({ kill: random.next() < 0.5 })
    await advance(random.next() * 90_000)
  }
  return ids
}

async function checkAll(world: BuildsWorld, ids: readonly string[]): Promise<void> {
  const digests: string[] = []
  for (const id of ids) {
    const { data, status } = await world.read(id)
    expect(isOpen(status), `${id} did not end: ${status.message}`).toBe(false)
    expect(status.attempt).toBeLessThanOrEqual(attemptsAtMost)
    expect(data.sealed).toBeNull()
    const token = await world.store.get(joinTokenKind, data.joinTokenId)
    expect(token?.data.revoked).toBe(status.state !== 'succeeded')
    expect(status.artifact !== null).toBe(status.state === 'succeeded')
    if (status.artifact !== null) digests.push(`sha256:${status.artifact.sha256}`)
  }
  const kept = (await Array.fromAsync(world.blobs.list())).map(({ digest }) => digest)
  expect(kept.toSorted()).toEqual(digests.toSorted())
  await checkHistory(world)
}

/** What the feed tells: states go forward, but for an attempt that is lost, and nothing follows an end. */
async function checkHistory({ store }: BuildsWorld): Promise<void> {
  const before = new Map<string, Build['status']>()
  let since = 0
  for (;;) {
    const page = await store.changes(since, { kinds: [buildKind.name] })
    for (const { id, after } of page) {
      const status = (after as Build | null)?.status
      const last = before.get(id)
      if (status === undefined) continue
      if (last !== undefined && !isOpen(last)) expect(status.state).toBe(last.state)
      if (status.state === 'building' && last?.state === 'building') expect(status.attempt).toBe(last.attempt)
      if (status.state === 'succeeded' && last?.state !== 'succeeded') expect(last?.state).toBe('building')
      before.set(id, status)
    }
    const newest = page.at(-1)
    if (newest === undefined) return
    since = newest.version
  }
}

function done({ size, sha256 }: { size: number; sha256: string }): JobOutcome {
  const file = { bucketName: '', key: '', filename: 'a.iso', contentType: 'application/x-iso9660-image' }
  return { kind: 'result', result: { success: true, artifact: { ...file, size, sha256, createdAt: 0 }, logs: [] } }
}

test(`over ${seeds} seeds no build is lost, built twice at a time, or leaves a token, bytes or a secret behind`, async () => {
  const states: string[] = []
  for (let seed = 1; seed <= seeds; seed++) states.push(...(await simulate(seed)))
  expect(new Set(states)).toEqual(new Set(['succeeded', 'failed', 'cancelled']))
}, 300_000)

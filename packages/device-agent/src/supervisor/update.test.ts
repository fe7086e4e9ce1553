import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { SupervisorApps, SupervisorDevice } from './client.ts'
import { type Look, look, newWatch, type PendingUpdate, type Watch, watchLimits } from './update.ts'

const pending: PendingUpdate = { id: 'u', requestedBy: 'command', commitBefore: 'aaaa' }
const device = (more: Partial<SupervisorDevice> = {}): SupervisorDevice => ({
  osVersion: null,
  supervisorVersion: '19.0.5',
  macAddress: null,
  ipAddress: null,
  commit: 'aaaa',
  status: 'Idle',
  updatePending: false,
  updateDownloaded: false,
  updateFailed: false,
  downloadProgress: null,
  ...more,
})
const apps = (state = 'applied'): SupervisorApps => ({
  state,
  release: null,
  downloadProgress: null,
  containers: [],
  images: [],
})
const idle = { device: device(), apps: apps(), problem: null }
const downloading = {
  device: device({ updatePending: true, downloadProgress: 40 }),
  apps: apps('applying'),
  problem: null,
}
const locked = {
  device: device({ commit: null, updatePending: true, updateDownloaded: true, updateFailed: true }),
  apps: apps('applying'),
  problem: null,
}
const failed = { device: device({ updatePending: true, updateFailed: true }), apps: apps(), problem: null }
const applying = { device: device({ commit: null, updatePending: true }), apps: apps('applying'), problem: null }
const done = { device: device({ commit: 'bbbb' }), apps: apps(), problem: null }
const away = { device: null, apps: null, problem: 'The Supervisor cannot be asked.' }

/** One look every two seconds. */
function watchOver(seen: Omit<Look, 'atMs'>[], of: PendingUpdate = pending): Watch {
  return seen.reduce((watch, next, index) => look(watch, of, { ...next, atMs: (index + 1) * 2_000 }), newWatch)
}

test('another commit with everything applied is an update that was applied', () => {
  expect(watchOver([idle, downloading, applying, done])).toMatchObject({
    outcome: 'applied',
    commitAfter: 'bbbb',
    settled: true,
  })
})

test('another commit whose containers are not there yet is still being applied', () => {
  expect(watchOver([{ ...done, apps: apps('applying') }])).toMatchObject({ outcome: 'applying', settled: false })
})

test('where the commit was not told before, only what moved counts as applied', () => {
  const unknown = { ...pending, commitBefore: null }
  expect(watchOver([applying, done], unknown)).toMatchObject({ outcome: 'applied' })
  expect(watchOver(Array(9).fill(idle), unknown)).toMatchObject({ outcome: 'nothing-new' })
})

test('nothing begun within the first seconds is nothing new, and not sooner', () => {
  expect(watchOver(Array(7).fill(idle))).toMatchObject({ outcome: 'requested', settled: false })
  expect(watchOver(Array(9).fill(idle))).toMatchObject({ outcome: 'nothing-new', settled: true })
})

test('three flags without a commit that stay are a lock; when it opens the update is applied', () => {
  expect(watchOver([downloading, locked])).toMatchObject({ outcome: 'applying' })
  const stuck = watchOver([downloading, locked, locked, locked])
  expect(stuck).toMatchObject({ outcome: 'locked', settled: false, message: expect.stringContaining('update lock') })
  expect(watchOver([downloading, locked, locked, locked, applying, done])).toMatchObject({ outcome: 'applied' })
})

test('a failure that stays is a failure; the attempt after it may still succeed', () => {
  expect(watchOver([failed, failed, failed])).toMatchObject({ outcome: 'failed', settled: false })
  expect(watchOver([failed, failed, failed, downloading, applying, done])).toMatchObject({ outcome: 'applied' })
})

test('a Supervisor that is away proves nothing, and the watch goes on when it is back', () => {
  expect(watchOver([downloading, away, away])).toMatchObject({ outcome: 'applying', settled: false })
  expect(watchOver([downloading, away, done])).toMatchObject({ outcome: 'applied' })
})

test('a slow engine that never shows the applications gives no verdict of "applied"', () => {
  const half = { device: device({ commit: 'bbbb' }), apps: null, problem: 'none within 10000 ms' }
  expect(watchOver([half, half])).toMatchObject({ outcome: 'requested', settled: false })
})

test('every watch ends at its limit, an applied one never changes, and "applied" is never said of the old commit', () => {
  const picture = fc.constantFrom(idle, downloading, locked, failed, applying, done, away)
  fc.assert(
    fc.property(fc.array(picture, { minLength: 1, maxLength: 60 }), (seen) => {
      let watch = newWatch
      for (const [index, next] of seen.entries()) {
        const before = watch
        watch = look(watch, pending, { ...next, atMs: (index + 1) * 2_000 })
        if (before.settled) expect(watch).toBe(before)
        if (watch.outcome === 'applied') expect(watch.commitAfter).toBe('bbbb')
      }
      const last = seen.at(-1) ?? idle
      const ended = look(watch, pending, { ...last, atMs: watchLimits.totalMs })
      expect(ended.settled).toBe(true)
      expect(['applied', 'nothing-new', 'locked', 'failed', 'unknown']).toContain(ended.outcome)
    }),
  )
})

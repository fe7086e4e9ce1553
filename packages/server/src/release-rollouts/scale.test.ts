import { createRandom } from '@freehold/reconcile'
import { expect, it } from 'vitest'
import { createBed } from './rollouts.testing.ts'

const members = 10_000
const seconds = 300
const way = ['staged', 'downloading', 'applying', 'soaking', 'succeeded']

it('a rollout writes at most one status a second, however many devices report', { timeout: 600_000 }, async () => {
  const random = createRandom(1)
  const deviceIds = Array.from({ length: members }, () =>
    '01900000-0000-7000-8000-'.concat(
      random
        .below(2 ** 32)
        .toString(16)
        .padStart(8, '0'),
      random
        .below(2 ** 16)
        .toString(16)
        .padStart(4, '0'),
    ),
  )
  const followers = [...new Set(deviceIds)].map((deviceId) => ({ deviceId, groupId: null }))
  const bed = await createBed({ followers })
  try {
    const release = await bed.release('1.0.0')
    const before = await bed.store.version()
    const { id } = await bed.create({ releaseId: release, phases: [{ percent: 1 }, { percent: 25 }, {}] })
    const standing = new Map<string, number>()
    for (let second = 0; second < seconds; second++) {
      // Each device reports every ten seconds, and is one state further with most of them.
      for (let index = second % 10; index < followers.length; index += 10) {
        const deviceId = followers[index]?.deviceId ?? ''
        if (bed.assignments.of(deviceId) === undefined) continue
        const step = standing.get(deviceId) ?? 0
        bed.report(deviceId, way[step] ?? 'succeeded')
        if (random.below(4) > 0) standing.set(deviceId, Math.min(step + 1, way.length - 1))
      }
      await bed.run()
      if (second % 10 === 0) await bed.store.facts.flush()
    }
    const writes = (await bed.store.version()) - before
    const { status } = await bed.read(id)
    expect(status.state).toBe('succeeded')
    expect(status.counts.succeeded).toBeGreaterThan(followers.length * 0.99)
    expect(writes).toBeLessThanOrEqual(seconds + 20)
  } finally {
    await bed.close()
  }
})

import { expect, it, onTestFinished } from 'vitest'
import { neverAborted } from './garbage.testing.ts'
import { pushBlob, pushImage, startTestRegistry } from './testing.ts'

const graceMs = 60_000

it('what collecting garbage would take is what it then takes, and asking changes nothing', async () => {
  const registry = await startTestRegistry()
  onTestFinished(() => registry.remove())
  const { previewGarbage, collectGarbage, garbageProgress } = registry.registry
  await pushImage(registry, 'team/app', 'v1', 'kept layer')
  const { digest } = await pushImage(registry, 'team/app', 'v2', 'other layer')
  await pushBlob(registry, 'team/app', 'never needed')
  await registry.send('DELETE', `/v2/team/app/manifests/${digest}`)
  expect(await previewGarbage({ graceMs })).toMatchObject({ complete: true, items: [] })

  let [bytes, links, freed] = [0, 0, 0]
  for (let pass = 0; pass < 6; pass += 1) {
    registry.clock.ms += graceMs + 1000
    const before = await registry.store.version()
    const seen = await previewGarbage({ graceMs })
    expect(await registry.store.version()).toBe(before)
    const collected = await collectGarbage({ graceMs, signal: neverAborted })
    expect([seen.due.links, seen.due.blobs, seen.due.bytes]).toEqual([
      collected.droppedLinks,
      collected.removedBlobs,
      collected.freedBytes,
    ])
    for (const item of seen.items) expect(item.due).toBe(Date.parse(item.goesAt) <= registry.clock.ms)
    if (pass === 0) {
      expect(seen.waiting).toMatchObject({ links: 3, blobs: 1 })
      expect(seen.items.map((item) => item.reason).toSorted()).toEqual([
        'no manifest of team/app needs it',
        'no manifest of team/app needs it',
        'no manifest of team/app needs it',
        'no repository links it and no manifest has this digest',
      ])
    }
    bytes += seen.due.bytes
    links += seen.due.links
    freed += collected.freedBytes
  }
  expect([bytes, links]).toEqual([freed, 3])
  expect(freed).toBeGreaterThan(0)
  expect(garbageProgress()).toMatchObject({ running: false, passes: 6, last: { complete: true, failures: 0 } })
})

it('two who ask at once get one answer', async () => {
  const registry = await startTestRegistry()
  onTestFinished(() => registry.remove())
  const [one, other] = await Promise.all([
    registry.registry.previewGarbage({ graceMs }),
    registry.registry.previewGarbage({ graceMs }),
  ])
  expect(one).toBe(other)
})

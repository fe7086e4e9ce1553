import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import type { BlobStore } from '@freehold/blobs'
import { blobLinkKind, manifestKind } from '@freehold/contracts'
import fc from 'fast-check'
import { expect, it, onTestFinished } from 'vitest'
import {
  afterBytes,
  bytesOf,
  collectAll,
  damaged,
  diskAndNeeds,
  linksAndNeeds,
  losses,
  neverAborted,
} from './garbage.testing.ts'
import { pushBlob, pushImage, pushParts, putManifest, sha256, startTestRegistry, type TestRegistry } from './testing.ts'

const pick = <T>(items: readonly T[]): T => {
  const item = items[Math.floor(Math.random() * items.length)]
  if (item === undefined) throw new Error('Nothing to pick from.')
  return item
}

/** Bytes lie there for a moment before the push goes on, as on a slow disk. */
const slowly = (blobs: BlobStore) => afterBytes(blobs, () => sleep(Math.random() * 10))

/** Everything the collector promises when nothing else goes on and there is nothing left to do. */
async function expectClean(registry: TestRegistry): Promise<void> {
  expect(await losses(registry)).toEqual([])
  const on = await diskAndNeeds(registry)
  expect(on.disk).toEqual(on.needed)
  const linked = await linksAndNeeds(registry.store)
  expect(linked.links).toEqual(linked.needed)
  expect(await damaged(registry)).toEqual([])
}

it('never loses what a manifest needs, collecting without grace in a storm of pushes, mounts and deletes', async () => {
  const registry = await startTestRegistry({ wrapBlobs: slowly })
  onTestFinished(() => registry.remove())
  const repositories = ['storm/a', 'storm/b']
  const layers = ['one', 'two', 'three', 'four']
  let working = true
  let freedBytes = 0
  const counts = { pushed: 0, refused: 0, mounted: 0, deleted: 0 }

  const collecting = (async () => {
    while (working) {
      registry.clock.ms = Date.now()
      const collected = await registry.registry.collectGarbage({ graceMs: 0, signal: neverAborted })
      expect(collected.failures).toBe(0)
      freedBytes += collected.freedBytes
    }
  })()

  /** What an acknowledged push names is there, unless the manifest was deleted again meanwhile. */
  async function checkPushed(repository: string, manifest: string): Promise<void> {
    const row = await registry.store.find(manifestKind, 'reference', `${repository}@${sha256(manifest)}`)
    if (row === undefined) return
    const stats = await Promise.all(bytesOf(row).map((digest) => registry.blobs.stat(digest)))
    const stays = (await registry.store.get(manifestKind, row.id)) !== undefined
    expect(stays && stats.includes(undefined), `bytes of ${repository}`).toBe(false)
  }

  async function push(repository: string): Promise<void> {
    const manifest = await pushParts(registry, repository, pick(layers))
    const { status } = await putManifest(registry, repository, pick(['x', 'y']), manifest)
    expect([201, 404]).toContain(status)
    counts[status === 201 ? 'pushed' : 'refused'] += 1
    if (status === 201) await checkPushed(repository, manifest)
  }

  /** As clients do that save themselves uploads: what is there already, or can be mounted, is not sent. */
  async function pushWhatIsMissing(repository: string): Promise<void> {
    const layer = pick(layers)
    const from = pick(repositories)
    const path = `/v2/${repository}/blobs`
    const asked = await registry.send('HEAD', `${path}/${sha256(layer)}`)
    if (asked.status !== 200) {
      const mounted = await registry.send('POST', `${path}/uploads/?mount=${sha256(layer)}&from=${from}`)
      await mounted.arrayBuffer()
      if (mounted.status === 201) counts.mounted += 1
      else await pushBlob(registry, repository, layer)
    }
    const config = await pushBlob(registry, repository, `{"os":"linux","comment":"${layer} ${repository}"}`)
    const mediaType = 'application/vnd.oci.image.manifest.v1+json'
    const blobs = [{ mediaType: 'application/octet-stream', digest: sha256(layer), size: layer.length }]
    const manifest = JSON.stringify({ schemaVersion: 2, mediaType, config, layers: blobs })
    const { status } = await putManifest(registry, repository, 'z', manifest)
    expect([201, 404]).toContain(status)
    counts[status === 201 ? 'pushed' : 'refused'] += 1
    if (status === 201) await checkPushed(repository, manifest)
  }

  async function deleteSome(repository: string): Promise<void> {
    const { items } = await registry.store.list(manifestKind, { where: { repository }, limit: 10 })
    for (const { data } of items) {
      const { status } = await registry.send('DELETE', `/v2/${repository}/manifests/${data.digest}`)
      expect([202, 404]).toContain(status)
      if (status === 202) counts.deleted += 1
    }
  }

  const worker = async () => {
    for (let count = 0; count < 40; count += 1) {
      await pick([push, pushWhatIsMissing, pushWhatIsMissing, deleteSome])(pick(repositories))
      if (count % 5 === 0) expect(await losses(registry)).toEqual([])
    }
  }
  try {
    await Promise.all(Array.from({ length: 6 }, worker))
  } finally {
    working = false
    await collecting
  }
  expect(registry.errors).toEqual([])
  expect(freedBytes).toBeGreaterThan(0)
  for (const count of [counts.pushed, counts.deleted]) expect(count).toBeGreaterThan(0)
  await pushImage(registry, 'storm/a', 'last', 'one')
  await collectAll(registry, 0)
  await expectClean(registry)
})

it('gives every blob its grace time and takes all garbage after it, whatever happens in whatever order', async () => {
  const graceMs = 1_000_000
  const repository = fc.constantFrom('model/a', 'model/b')
  const layer = fc.constantFrom('one', 'two', 'three')
  const step = fc.oneof(
    fc.record({ do: fc.constant('push' as const), repository, layer }),
    fc.record({ do: fc.constant('upload' as const), repository, layer }),
    fc.record({ do: fc.constant('mount' as const), repository, layer }),
    fc.record({ do: fc.constant('ask' as const), repository, layer }),
    fc.record({ do: fc.constant('delete' as const), repository, layer }),
    fc.record({ do: fc.constant('wait' as const), repository, layer }),
    fc.record({ do: fc.constant('collect' as const), repository, layer }),
  )
  const registry = await startTestRegistry()
  onTestFinished(() => registry.remove())
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 25 }), async (steps) => {
      const promisedUntil = new Map<string, number>()
      const promise = (name: string, content: string) =>
        promisedUntil.set(`${name} ${sha256(content)}`, registry.clock.ms + graceMs)
      for (const { do: what, repository: name, layer: content } of steps) {
        const path = `/v2/${name}/blobs`
        if (what === 'push') await pushImage(registry, name, content, content)
        if (what === 'upload') await pushBlob(registry, name, content)
        if (what === 'push' || what === 'upload') promise(name, content)
        if (what === 'ask' && (await registry.send('HEAD', `${path}/${sha256(content)}`)).ok) promise(name, content)
        if (what === 'mount') {
          const query = `mount=${sha256(content)}&from=model/a`
          if ((await registry.send('POST', `${path}/uploads/?${query}`)).status === 201) promise(name, content)
        }
        if (what === 'delete') {
          const tag = await registry.send('HEAD', `/v2/${name}/manifests/${content}`)
          await registry.send('DELETE', `/v2/${name}/manifests/${tag.headers.get('docker-content-digest')}`)
        }
        if (what === 'wait') registry.clock.ms += graceMs / 2 + 1
        if (what === 'collect') await registry.registry.collectGarbage({ graceMs, signal: neverAborted })
        expect(await losses(registry)).toEqual([])
        for (const [key, untilMs] of promisedUntil) {
          const [of, digest] = key.split(' ')
          if (untilMs <= registry.clock.ms) continue
          const link = await registry.store.find(blobLinkKind, 'reference', `${of}@${digest}`)
          expect([link !== undefined, (await registry.blobs.stat(digest ?? '')) !== undefined]).toEqual([true, true])
        }
      }
      await collectAll(registry, graceMs)
      await expectClean(registry)
    }),
    { numRuns: 25 },
  )
})

it('loses nothing to kill -9 in the middle of collecting, and takes the garbage afterwards', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'registry-gc-crash-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  const kept: string[] = []
  for (let round = 0; round < 3; round += 1) kept.push(...(await collectAndDie(directory, round)))
  const registry = await startTestRegistry({ directory })
  try {
    expect(await losses(registry)).toEqual([])
    await registry.registry.sweepUploads({ idleMs: -1 })
    await collectAll(registry, 0)
    await expectClean(registry)
    for (const line of kept) {
      const [repository, digest] = line.split(' ')
      const { status } = await registry.send('GET', `/v2/${repository}/manifests/${digest}`)
      expect(status, line).toBe(200)
    }
  } finally {
    await registry.stop()
  }
})

/** Kills the process after a random number of passes that freed something; answers what it had acknowledged. */
async function collectAndDie(directory: string, round: number): Promise<string[]> {
  const fixture = join(import.meta.dirname, 'garbage.fixture.ts')
  const child = spawn(process.execPath, [fixture, directory, String(round)], { stdio: ['ignore', 'pipe', 'inherit'] })
  onTestFinished(() => {
    child.kill('SIGKILL')
  })
  const exited = once(child, 'exit')
  const kept: string[] = []
  let left = 1 + Math.floor(Math.random() * 5)
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.startsWith('kept ')) kept.push(line.slice('kept '.length))
    if (line === 'freed') left -= 1
    if (left <= 0 && kept.length >= 3 && !child.killed) {
      await sleep(Math.random() * 20)
      child.kill('SIGKILL')
    }
  }
  await exited
  expect(child.signalCode).toBe('SIGKILL')
  return kept
}

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { openS3Blobs } from '@freehold/blobs/s3'
import { manifestKind } from '@freehold/contracts'
import { afterAll, describe, expect, it, onTestFinished } from 'vitest'
import { type RunningObjectStore, startObjectStore } from '../../../../tools/object-store.ts'
import { bytesOf, collectAll, damaged, diskAndNeeds, linksAndNeeds, losses, neverAborted } from './garbage.testing.ts'
import { pushImage, startTestRegistry, type TestRegistry } from './testing.ts'

const running = await startObjectStore()
if ('skipped' in running) console.warn(`Garbage collection on S3 was not tested: ${running.skipped}`)

describe.skipIf('skipped' in running)('garbage collection on S3', () => {
  const ceph = running as RunningObjectStore
  afterAll(() => ceph.stop())

  async function start(bucket: string, directory?: string): Promise<TestRegistry> {
    const { store, close } = await openS3Blobs({
      ...{ endpoint: ceph.endpoint, region: 'us-east-1', bucket, accessKey: ceph.accessKey },
      ...{ secretKey: () => ceph.secretKey, owner: 'tests', downloads: 'redirect' },
    })
    const registry = await startTestRegistry({
      wrapBlobs: () => store,
      ...(directory === undefined ? {} : { directory }),
    })
    onTestFinished(async () => {
      await registry.remove()
      close()
    })
    return registry
  }

  it('takes what a deleted image left, and nothing of the others', async () => {
    const registry = await start('simple')
    const gone = await pushImage(registry, 'garbage/a', 'gone', 'layer of the deleted')
    const kept = await pushImage(registry, 'garbage/a', 'kept', 'layer of the kept')
    await registry.send('DELETE', `/v2/garbage/a/manifests/${gone.digest}`)
    expect(await collectAll(registry, 1000)).toBeGreaterThan(0)
    const on = await diskAndNeeds(registry)
    expect(on.disk).toEqual(on.needed)
    expect(on.disk).toHaveLength(3)
    expect(await (await registry.send('GET', '/v2/garbage/a/manifests/kept')).text()).toBe(kept.manifest)
    expect(await losses(registry)).toEqual([])
  })

  it('never loses what a manifest needs, collecting without grace while images are pushed and deleted', async () => {
    const registry = await start('storm')
    const repositories = ['storm/a', 'storm/b']
    let working = true
    let freedBytes = 0
    let pushed = 0
    const collecting = (async () => {
      while (working) {
        registry.clock.ms = Date.now()
        const collected = await registry.registry.collectGarbage({ graceMs: 0, signal: neverAborted })
        expect(collected.failures).toBe(0)
        freedBytes += collected.freedBytes
      }
    })()
    const worker = async (_: unknown, number: number) => {
      for (let count = 0; count < 25; count += 1) {
        const repository = repositories[(number + count) % 2] ?? ''
        const image = await pushImage(registry, repository, `w${number}`, `layer ${count % 3}`).catch(() => undefined)
        if (image === undefined) continue
        pushed += 1
        const row = await registry.store.find(manifestKind, 'reference', `${repository}@${image.digest}`)
        const stats = await Promise.all(
          (row === undefined ? [] : bytesOf(row)).map((digest) => registry.blobs.stat(digest)),
        )
        const stays = row !== undefined && (await registry.store.get(manifestKind, row.id)) !== undefined
        expect(stays && stats.includes(undefined)).toBe(false)
        if (count % 2 === 0) await registry.send('DELETE', `/v2/${repository}/manifests/${image.digest}`)
      }
    }
    try {
      await Promise.all(Array.from({ length: 4 }, worker))
    } finally {
      working = false
      await collecting
    }
    expect(registry.errors).toEqual([])
    expect(pushed).toBeGreaterThan(20)
    expect(freedBytes).toBeGreaterThan(0)
    expect(await losses(registry)).toEqual([])
    await collectAll(registry, 0)
    const on = await diskAndNeeds(registry)
    expect(on.disk).toEqual(on.needed)
    const linked = await linksAndNeeds(registry.store)
    expect(linked.links).toEqual(linked.needed)
    expect(await damaged(registry)).toEqual([])
  })

  it('loses nothing to kill -9 in the middle of pushing and collecting, and takes the garbage afterwards', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'registry-s3-crash-'))
    const kept: string[] = []
    for (let round = 0; round < 2; round += 1) kept.push(...(await pushAndDie(ceph, directory, round)))
    const registry = await start('crash', directory)
    expect(await losses(registry)).toEqual([])
    await registry.registry.sweepUploads({ idleMs: -60_000 })
    await collectAll(registry, 0)
    const on = await diskAndNeeds(registry)
    expect(on.disk).toEqual(on.needed)
    expect(await damaged(registry)).toEqual([])
    for (const line of kept) {
      const [repository, digest] = line.split(' ')
      const { status } = await registry.send('GET', `/v2/${repository}/manifests/${digest}`)
      expect(status, line).toBe(200)
    }
  })
})

/** Kills the process once it had pushed and freed something; answers what it had acknowledged. */
async function pushAndDie(ceph: RunningObjectStore, directory: string, round: number): Promise<string[]> {
  const fixture = join(import.meta.dirname, 'garbage.fixture.ts')
  const s3 = [ceph.endpoint, ceph.accessKey, ceph.secretKey, 'crash']
  const child = spawn(process.execPath, [fixture, directory, String(round), ...s3], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  onTestFinished(() => {
    child.kill('SIGKILL')
  })
  const exited = once(child, 'exit')
  const kept: string[] = []
  let freed = false
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.startsWith('kept ')) kept.push(line.slice('kept '.length))
    if (line === 'freed') freed = true
    if (freed && kept.length >= 5 && !child.killed) {
      await sleep(Math.random() * 100)
      child.kill('SIGKILL')
    }
  }
  await exited
  expect(child.signalCode).toBe('SIGKILL')
  return kept
}

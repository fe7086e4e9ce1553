/** What must hold between store and disk, whatever was collected; for tests. */
import { createHash } from 'node:crypto'
import { buffer } from 'node:stream/consumers'
import type { BlobStore } from '@freehold/blobs'
import { blobLinkKind, type Manifest, manifestKind } from '@freehold/contracts'
import type { Reads, Store } from '@freehold/store'
import { createDigestGuard } from './digest-guard.ts'
import { createGarbageCollector } from './garbage.ts'
import { isNeeded } from './needed.ts'
import type { TestRegistry } from './testing.ts'

/** Garbage collection of these bytes alone: what holds them, and a pass that grants no time at all. */
export function createCollection(parts: { store: Store; blobs: BlobStore }) {
  const guard = createDigestGuard()
  const log = { info: () => {}, warn: () => {} }
  const collector = createGarbageCollector({ ...parts, guard, log, now: Date.now })
  return {
    guard: {
      hold: guard.hold,
      async removeUnneeded(digest: string) {
        await guard.removing(digest, async () => {
          if (!(await isNeeded(parts.store, digest))) await parts.blobs.delete(digest)
        })
      },
    },
    collect: () => collector.collect({ graceMs: 0, signal: neverAborted }),
  }
}

const checker = { type: 'system', id: 'checker', name: 'checker' } as const

export const neverAborted = new AbortController().signal

/** Digests of bytes a manifest cannot do without, its own among them. */
export function bytesOf(manifest: Manifest): string[] {
  return [manifest.data.digest, ...manifest.data.blobs.map(({ digest }) => digest)]
}

/** Manifests that are there, and stay while this looks, without a link or bytes they need. */
export async function losses(registry: TestRegistry): Promise<string[]> {
  const lost: string[] = []
  const { manifests, unlinked } = await registry.store.transaction(checker, async (transaction) => {
    const links = new Set((await transaction.all(blobLinkKind)).map(({ data }) => `${data.repository}@${data.digest}`))
    const rows = await transaction.all(manifestKind)
    const needed = rows.flatMap(({ data }) => data.blobs.map(({ digest }) => `${data.repository}@${digest}`))
    return { manifests: rows, unlinked: needed.filter((key) => !links.has(key)) }
  })
  for (const manifest of manifests) {
    for (const digest of bytesOf(manifest)) {
      if ((await registry.blobs.stat(digest)) !== undefined) continue
      if ((await registry.store.get(manifestKind, manifest.id)) !== undefined) lost.push(digest)
    }
  }
  return [...unlinked, ...lost]
}

/** What is on the disk, and what should be, both sorted; while nothing else goes on. */
export async function diskAndNeeds(registry: TestRegistry): Promise<{ disk: string[]; needed: string[] }> {
  const disk: string[] = []
  for await (const { digest } of registry.blobs.list()) disk.push(digest)
  const needed = new Set((await registry.store.all(manifestKind)).flatMap(bytesOf))
  return { disk: disk.toSorted(), needed: [...needed].toSorted() }
}

/** Digests whose bytes are not theirs. */
export async function damaged(registry: TestRegistry): Promise<string[]> {
  const wrong: string[] = []
  for await (const { digest } of registry.blobs.list()) {
    const bytes = await buffer(await registry.blobs.open(digest))
    if (`sha256:${createHash('sha256').update(bytes).digest('hex')}` !== digest) wrong.push(digest)
  }
  return wrong
}

/** Links that are there, and links that a manifest needs, both sorted. */
export async function linksAndNeeds(reads: Reads): Promise<{ links: string[]; needed: string[] }> {
  const links = (await reads.all(blobLinkKind)).map(({ data }) => `${data.repository}@${data.digest}`)
  const manifests = await reads.all(manifestKind)
  const needed = manifests.flatMap(({ data }) => data.blobs.map(({ digest }) => `${data.repository}@${digest}`))
  return { links: links.toSorted(), needed: [...new Set(needed)].toSorted() }
}

/** Collects, grace after grace, until there is nothing left to do. Answers the bytes that were freed. */
export async function collectAll(registry: TestRegistry, graceMs: number): Promise<number> {
  let freedBytes = 0
  for (let pass = 0; pass < 6; pass += 1) {
    registry.clock.ms += graceMs + 1000
    const collected = await registry.registry.collectGarbage({ graceMs, signal: neverAborted })
    freedBytes += collected.freedBytes
  }
  return freedBytes
}

/** The same blobs; `work` is done each time after bytes became a blob, before whoever stored them goes on. */
export function afterBytes(blobs: BlobStore, work: () => Promise<unknown>): BlobStore {
  return new Proxy(blobs, {
    get(target, name) {
      const value = Reflect.get(target, name)
      if (typeof value !== 'function') return value
      if (name !== 'put' && name !== 'finishUpload') return value.bind(target)
      return async (...parameters: unknown[]) => {
        const stored = await value.apply(target, parameters)
        await work()
        return stored
      }
    },
  })
}

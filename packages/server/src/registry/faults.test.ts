import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { BlobError, type BlobStore } from '@freehold/blobs'
import { blobLinkKind, imageKind, manifestKind, tagKind } from '@freehold/contracts'
import { describe, expect, it, onTestFinished } from 'vitest'
import {
  basic,
  codesOf,
  ociManifest,
  pushBlob,
  pushImage,
  pushParts,
  putManifest,
  sha256,
  startTestRegistry,
  type TestRegistry,
  type TestRegistryOptions,
} from './testing.ts'

async function start(options: TestRegistryOptions = {}): Promise<TestRegistry> {
  const registry = await startTestRegistry(options)
  onTestFinished(() => registry.remove())
  return registry
}

async function filesBelow(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
}

/** Opens a request with a body of a known length and sends only its beginning. */
function beginBody(registry: TestRegistry, method: string, path: string, part: Buffer, lengthBytes: number) {
  const [host, port] = registry.host.split(':')
  const headers = { authorization: basic('admin'), 'content-length': lengthBytes }
  const sent = request({ host, port, method, path, headers })
  sent.on('error', () => {})
  sent.write(part)
  return sent
}

describe('a client that goes away', () => {
  it('in the middle of a single POST leaves no file', async () => {
    const registry = await start()
    const content = randomBytes(1_000_000)
    const path = `/v2/faults/gone/blobs/uploads/?digest=${sha256(content)}`
    const sent = beginBody(registry, 'POST', path, content.subarray(0, 300_000), content.length)
    const uploads = join(registry.directory, 'blobs')
    await expect.poll(async () => (await filesBelow(uploads)).length).toBe(1)
    sent.destroy()
    await expect.poll(() => filesBelow(uploads)).toEqual([])
    expect(registry.errors).toEqual([])
  })

  it('in the middle of a chunk can go on where the registry says', async () => {
    const registry = await start()
    const content = randomBytes(1_000_000)
    const location = (await registry.send('POST', '/v2/faults/resume/blobs/uploads/')).headers.get('location') ?? ''
    const sent = beginBody(registry, 'PATCH', location, content.subarray(0, 300_000), content.length)
    const status = async () => (await registry.send('GET', location)).headers.get('range')
    await expect.poll(status).toBe('0-299999')
    sent.destroy()
    const rest = () =>
      registry.send('PATCH', location, {
        body: content.subarray(300_000),
        headers: { 'content-range': '300000-999999' },
      })
    // The registry may not have seen yet that the first connection is gone.
    await expect.poll(async () => (await rest()).status).toBe(202)
    const digest = sha256(content)
    expect((await registry.send('PUT', `${location}?digest=${digest}`)).status).toBe(201)
  })

  it('or stalls in the middle of a body is let go', async () => {
    const registry = await start({ idleTimeoutMs: 200 })
    const location = (await registry.send('POST', '/v2/faults/stall/blobs/uploads/')).headers.get('location') ?? ''
    const sent = beginBody(registry, 'PATCH', location, Buffer.from('begin'), 1000)
    await new Promise((resolve) => sent.once('close', resolve))
    await expect.poll(async () => (await registry.send('PATCH', location, { body: '-end' })).status).toBe(202)
    expect((await registry.send('PUT', `${location}?digest=${sha256('begin-end')}`)).status).toBe(201)
  })

  it('or takes nothing of a pull is let go, and costs little memory until then', async () => {
    // Pushed to before it becomes impatient: on a busy machine it might let go of the push too.
    const before = await startTestRegistry()
    const { digest } = await pushBlob(before, 'faults/slow', randomBytes(64 * 1024 * 1024))
    await before.stop()
    const registry = await start({ directory: before.directory, idleTimeoutMs: 300 })
    const [host = '', port] = registry.host.split(':')
    const beforeBytes = process.memoryUsage().arrayBuffers
    const socket = connect(Number(port), host)
    socket.on('error', () => {})
    socket.pause()
    socket.write(`GET /v2/faults/slow/blobs/${digest} HTTP/1.1\r\nHost: x\r\nAuthorization: ${basic('admin')}\r\n\r\n`)
    await expect.poll(() => registry.connections()).toBe(1)
    await expect.poll(() => registry.connections()).toBe(0)
    expect(process.memoryUsage().arrayBuffers - beforeBytes).toBeLessThan(32 * 1024 * 1024)
    socket.destroy()
  })
})

describe('a refusal while the body is still coming', () => {
  it('reaches the client', async () => {
    const registry = await start()
    const body = randomBytes(8 * 1024 * 1024)
    const path = `/v2/faults/refused/blobs/uploads/?digest=${sha256('other')}`
    for (const user of ['user', null, 'stranger']) {
      const response = await registry.send('POST', path, { body, user })
      expect([401, 403]).toContain(response.status)
      expect(await codesOf(response)).toHaveLength(1)
    }
    const unknown = await registry.send('PATCH', '/v2/faults/refused/blobs/uploads/none', { body })
    expect([unknown.status, await codesOf(unknown)]).toEqual([404, ['BLOB_UPLOAD_UNKNOWN']])
  })
})

describe('a full disk', () => {
  it('is said as 507 with the reason, and nothing of the push is seen', async () => {
    const full = () => Promise.reject(new BlobError('storage-full', 'The disk of the blob store is full.'))
    let isFull = false
    const wrapBlobs = (blobs: BlobStore): BlobStore =>
      new Proxy(blobs, {
        get(target, name) {
          if (isFull && ['put', 'createUpload', 'appendUpload'].includes(String(name))) return full
          const value = Reflect.get(target, name)
          return typeof value === 'function' ? value.bind(target) : value
        },
      })
    const registry = await start({ wrapBlobs })
    const { manifest } = await pushImage(registry, 'faults/full', 'before', 'layer')
    const location = (await registry.send('POST', '/v2/faults/full/blobs/uploads/')).headers.get('location') ?? ''
    isFull = true
    const large = randomBytes(4 * 1024 * 1024)
    const refusals = [
      await registry.send('POST', '/v2/faults/full/blobs/uploads/'),
      await registry.send('POST', `/v2/faults/full/blobs/uploads/?digest=${sha256(large)}`, { body: large }),
      await registry.send('PATCH', location, { body: large }),
      await putManifest(registry, 'faults/full', 'after', manifest),
    ]
    for (const response of refusals) {
      expect(response.status).toBe(507)
      expect(await response.json()).toMatchObject({ errors: [{ message: 'The disk of the blob store is full.' }] })
    }
    expect(await (await registry.send('GET', '/v2/faults/full/manifests/before')).text()).toBe(manifest)
    isFull = false
    expect((await putManifest(registry, 'faults/full', 'after', manifest)).status).toBe(201)
  })
})

describe('damage', () => {
  it('of a manifest is never served as good, and a new push heals it', async () => {
    const first = await startTestRegistry()
    const { digest, manifest } = await pushImage(first, 'faults/damage', 'latest', 'layer')
    await first.stop()
    const [file] = (await filesBelow(join(first.directory, 'blobs'))).filter((path) => path.endsWith(digest.slice(7)))
    await writeFile(file ?? '', 'x'.repeat(manifest.length))
    const second = await start({ directory: first.directory })
    expect((await second.send('GET', '/v2/faults/damage/manifests/latest')).status).toBe(500)
    const healed = await putManifest(second, 'faults/damage', 'latest', manifest)
    expect(healed.status).toBe(201)
    expect(await (await second.send('GET', '/v2/faults/damage/manifests/latest')).text()).toBe(manifest)
  })

  it('of a push hook fails no push', async () => {
    const registry = await start({
      onPush: () => {
        throw new Error('the hook is broken')
      },
    })
    await pushImage(registry, 'faults/hook', 'latest', 'layer')
    await expect.poll(() => registry.errors.length).toBe(1)
  })
})

it('sweeps uploads that were left alone', async () => {
  const registry = await start()
  const location = (await registry.send('POST', '/v2/faults/sweep/blobs/uploads/')).headers.get('location') ?? ''
  await registry.send('PATCH', location, { body: 'left alone' })
  expect(await registry.registry.sweepUploads()).toEqual({ removed: 0, sizeBytes: 0 })
  expect(await registry.registry.sweepUploads({ idleMs: -1 })).toEqual({ removed: 1, sizeBytes: 10 })
  expect((await registry.send('GET', location)).status).toBe(404)
})

it('keeps every invariant in a storm of pushes, mounts and deletes', async () => {
  const registry = await start()
  const repositories = ['storm/a', 'storm/b']
  const layers = ['one', 'two', 'three']
  const pick = <T>(items: readonly T[]): T => {
    const item = items[Math.floor(Math.random() * items.length)]
    if (item === undefined) throw new Error('Nothing to pick from.')
    return item
  }
  const manifests = new Map<string, { digest: string; manifest: string; parts: string[] }>()
  for (const layer of layers) {
    const { digest, manifest } = await pushImage(registry, 'storm/a', layer, layer)
    const { config, layers: blobs } = JSON.parse(manifest)
    manifests.set(layer, { digest, manifest, parts: [config.digest, blobs[0].digest] })
  }
  const steps: ((
    repository: string,
    image: { digest: string; manifest: string; parts: string[] },
  ) => Promise<Response>)[] = [
    (repository, { manifest }) => putManifest(registry, repository, pick(['x', 'y']), manifest),
    (repository) => pushParts(registry, repository, pick(layers)).then(() => registry.send('GET', '/v2/')),
    (repository, { digest }) => registry.send('DELETE', `/v2/${repository}/manifests/${digest}`),
    (repository) => registry.send('DELETE', `/v2/${repository}/manifests/${pick(['x', 'y'])}`),
    (repository, { parts }) => registry.send('DELETE', `/v2/${repository}/blobs/${pick(parts)}`),
    (repository, { parts }) =>
      registry.send('POST', `/v2/${repository}/blobs/uploads/?mount=${pick(parts)}&from=${pick(repositories)}`),
  ]
  const statuses = new Map<number, number>()
  const worker = async () => {
    for (let count = 0; count < 60; count += 1) {
      const response = await pick(steps)(pick(repositories), pick([...manifests.values()]))
      await response.arrayBuffer()
      statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1)
      if (count % 3 === 0) expect(await danglingReferences(registry)).toEqual([])
    }
  }
  await Promise.all(Array.from({ length: 8 }, worker))
  expect([...statuses.keys()].filter((status) => ![200, 201, 202, 404, 405].includes(status))).toEqual([])
  expect(registry.errors).toEqual([])
  for (const status of [201, 202, 404]) expect(statuses.get(status)).toBeGreaterThan(0)
  await checkWhole(registry, new Map())
})

describe('kill -9 in the middle of concurrent pushes', () => {
  it('leaves no tag on a missing or wrong blob, and loses no acknowledged push', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'registry-crash-'))
    onTestFinished(() => rm(directory, { recursive: true, force: true }))
    const acknowledged = new Map<string, string>()
    const rounds = 4
    for (let round = 0; round < rounds; round += 1) {
      const { child, host } = await spawnRegistry(directory)
      const enough = 5 + Math.floor(Math.random() * 25)
      const pushers = Array.from({ length: 12 }, (_, index) =>
        pushUntilDead(host, `crash/r${round}-${index}`, acknowledged),
      )
      const target = acknowledged.size + enough
      while (acknowledged.size < target && child.exitCode === null) await sleep(5)
      child.kill('SIGKILL')
      await once(child, 'exit')
      await Promise.all(pushers)
      expect(acknowledged.size).toBeGreaterThanOrEqual(target)
    }
    const registry = await startTestRegistry({ directory })
    try {
      await checkWhole(registry, acknowledged)
    } finally {
      await registry.stop()
    }
  })
})

async function spawnRegistry(directory: string): Promise<{ child: ChildProcess; host: string }> {
  const fixture = join(import.meta.dirname, 'crash.fixture.ts')
  const child = spawn(process.execPath, [fixture, directory], { stdio: ['ignore', 'pipe', 'inherit'] })
  onTestFinished(() => {
    child.kill('SIGKILL')
  })
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.startsWith('ready ')) return { child, host: line.slice('ready '.length) }
  }
  throw new Error('The registry did not start.')
}

/** Pushes image after image, half of them in chunks, until the registry is gone; notes those acknowledged. */
async function pushUntilDead(host: string, repository: string, acknowledged: Map<string, string>): Promise<void> {
  const headers = { authorization: basic('admin') }
  const base = `http://${host}/v2/${repository}`
  const ok = (response: Response) => {
    if (!response.ok) throw new Error(`refused: ${response.status}`)
    return response
  }
  const blob = async (content: Buffer, chunked: boolean) => {
    const digest = sha256(content)
    if (chunked) {
      const started = ok(await fetch(`${base}/blobs/uploads/`, { method: 'POST', headers }))
      const location = `http://${host}${started.headers.get('location')}`
      const half = content.length >> 1
      ok(await fetch(location, { method: 'PATCH', headers, body: content.subarray(0, half) }))
      ok(await fetch(`${location}?digest=${digest}`, { method: 'PUT', headers, body: content.subarray(half) }))
    } else {
      ok(await fetch(`${base}/blobs/uploads/?digest=${digest}`, { method: 'POST', headers, body: content }))
    }
    return { mediaType: 'application/octet-stream', digest, size: content.length }
  }
  try {
    for (let count = 0; ; count += 1) {
      const config = await blob(Buffer.from(`{"count":${count},"of":"${repository}"}`), false)
      const layers = [await blob(randomBytes(10_000 + 1000 * count), count % 2 === 0)]
      const manifest = JSON.stringify({ schemaVersion: 2, mediaType: ociManifest, config, layers })
      const tags = ['latest', `v${count}`]
      for (const tag of tags) {
        ok(
          await fetch(`${base}/manifests/${tag}`, {
            method: 'PUT',
            headers: { ...headers, 'content-type': ociManifest },
            body: manifest,
          }),
        )
        if (tag !== 'latest') acknowledged.set(`${repository}:${tag}`, manifest)
      }
    }
  } catch (error) {
    // What fetch throws when the registry is gone is a TypeError; anything else is a refusal.
    if (!(error instanceof TypeError)) throw error
  }
}

/** Tags without their manifest and manifests without their blobs, seen at one moment. */
function danglingReferences(registry: TestRegistry): Promise<string[]> {
  return registry.store.transaction({ type: 'system', id: 'checker', name: 'checker' }, async (transaction) => {
    const keyOf = ({ data }: { data: { repository: string; digest: string } }) => `${data.repository}@${data.digest}`
    const links = new Set((await transaction.all(blobLinkKind)).map(keyOf))
    const rows = await transaction.all(manifestKind)
    const manifests = new Set(rows.map(keyOf))
    const tags = (await transaction.all(tagKind)).map(keyOf)
    const named = rows.flatMap(({ data }) => data.blobs.map(({ digest }) => `${data.repository}@${digest}`))
    return [...tags.filter((key) => !manifests.has(key)), ...named.filter((key) => !links.has(key))]
  })
}

async function checkWhole(registry: TestRegistry, acknowledged: Map<string, string>): Promise<void> {
  for (const [name, manifest] of acknowledged) {
    const [repository = '', tag = ''] = name.split(':')
    const response = await registry.send('GET', `/v2/${repository}/manifests/${tag}`)
    expect([response.status, await response.text()], name).toEqual([200, manifest])
  }
  const links = new Map(
    (await registry.store.all(blobLinkKind)).map((link) => [`${link.data.repository}@${link.data.digest}`, link]),
  )
  const manifests = new Map(
    (await registry.store.all(manifestKind)).map((row) => [`${row.data.repository}@${row.data.digest}`, row]),
  )
  const tags = await registry.store.all(tagKind)
  expect(tags.length).toBeGreaterThanOrEqual(acknowledged.size)
  for (const tag of tags) expect(manifests.has(`${tag.data.repository}@${tag.data.digest}`)).toBe(true)
  for (const row of manifests.values()) {
    for (const blob of row.data.blobs) {
      const link = links.get(`${row.data.repository}@${blob.digest}`)
      expect(link?.data.size).toBe(blob.size)
      const response = await registry.send('GET', `/v2/${row.data.repository}/blobs/${blob.digest}`)
      expect(sha256(new Uint8Array(await response.arrayBuffer()))).toBe(blob.digest)
    }
  }
  for (const image of await registry.store.all(imageKind)) {
    const named = tags.filter((tag) => tag.data.repository === image.data.name)
    expect(image.status.versions.map((version) => `${version.versionString} ${version.digest}`).toSorted()).toEqual(
      named.map((tag) => `${tag.data.name} ${tag.data.digest}`).toSorted(),
    )
  }
}

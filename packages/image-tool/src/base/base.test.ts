import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { BaseImage } from '../config/schema.ts'
import { type BuildContext, defaultLimits } from '../context.ts'
import { createWorkbench, type Workbench } from '../testing.ts'
import { freeBytesOf } from '../workspace.ts'
import { obtainBase } from './cache.ts'

const image = randomBytes(300_000)
const sha256 = createHash('sha256').update(image).digest('hex')

let bench: Workbench
let requests: (string | undefined)[] = []
let answer: (request: IncomingMessage, response: ServerResponse) => void
const server = createServer((request, response) => {
  requests.push(request.headers.range)
  answer(request, response)
})
let url = ''

beforeEach(async () => {
  bench = await createWorkbench()
  requests = []
  answer = wholeOrRest
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/images/base.iso?token=secret`
})
afterEach(async () => {
  server.closeAllConnections()
  server.close()
  await bench[Symbol.asyncDispose]()
})

/** A server as it should be: ranges, an entity tag. */
function wholeOrRest(request: IncomingMessage, response: ServerResponse): void {
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
  const headers = { etag: '"one"', 'content-length': image.length - from }
  if (from > 0)
    response.writeHead(206, { ...headers, 'content-range': `bytes ${from}-${image.length - 1}/${image.length}` })
  else response.writeHead(200, headers)
  response.end(image.subarray(from))
}

/** Sends so many bytes, once, and breaks off when they have arrived; from then on `next` answers. */
function breaksAfter(sizeBytes: number, next = wholeOrRest): Partial<BuildContext> {
  let held: ServerResponse | undefined
  answer = (_, response) => {
    answer = next
    held = response
    response.writeHead(200, { 'content-length': image.length, etag: '"one"' })
    response.write(image.subarray(0, sizeBytes))
  }
  return { progress: ({ doneBytes }) => void (doneBytes === sizeBytes && held?.destroy()) }
}

let workspaces = 0
async function contextOf(change: Partial<BuildContext> = {}): Promise<BuildContext> {
  workspaces += 1
  const workspace = join(bench.folder, 'work', String(workspaces))
  await mkdir(workspace, { recursive: true })
  const signal = change.signal ?? new AbortController().signal
  return {
    folder: bench.folder,
    cacheFolder: join(bench.folder, 'cache'),
    workspace,
    tools: { folder: workspace, searchPath: '', epochSeconds: 0, signal, timeoutMs: 1000, stallMs: 1000 },
    signal,
    limits: defaultLimits,
    fetch,
    freeBytes: freeBytesOf,
    progress: () => undefined,
    log: () => undefined,
    ...change,
  }
}
const obtain = async (base: BaseImage, change?: Partial<BuildContext>) => {
  const context = await contextOf(change)
  const found = await obtainBase(base, context)
  return { ...found, bytes: await readFile(join(context.workspace, found.name)) }
}
const cached = () => readdir(join(bench.folder, 'cache'))

test('an image is downloaded once, with progress, and kept by its digest', async () => {
  const told: (number | null)[][] = []
  const first = await obtain(
    { url, sha256 },
    { progress: ({ doneBytes, totalBytes }) => told.push([doneBytes, totalBytes]) },
  )
  expect(first.bytes.equals(image)).toBe(true)
  expect(told.at(-1)).toEqual([image.length, image.length])
  expect((await obtain({ url, sha256 })).sizeBytes).toBe(image.length)
  expect(requests).toEqual([undefined])
})

test('a download that is broken off goes on where it stopped', async () => {
  const breaking = breaksAfter(100_000)
  expect((await obtain({ url, sha256 }, breaking)).bytes.equals(image)).toBe(true)
  expect(requests).toHaveLength(2)
  expect(requests[1]).toBe('bytes=100000-')
})

test('a later build takes up what a cancelled one began', async () => {
  const cancel = new AbortController()
  answer = (_, response) => {
    response.writeHead(200, { 'content-length': image.length })
    response.write(image.subarray(0, 150_000))
  }
  const progress = ({ doneBytes }: { doneBytes: number }) =>
    doneBytes >= 150_000 && cancel.abort(new Error('not wanted'))
  await expect(obtain({ url, sha256 }, { signal: cancel.signal, progress })).rejects.toThrow('not wanted')
  answer = wholeOrRest
  expect((await obtain({ url, sha256 })).bytes.equals(image)).toBe(true)
  expect(requests).toEqual([undefined, 'bytes=150000-'])
  expect((await cached()).filter((name) => name.endsWith('.part'))).toEqual([])
})

test('a beginning that is damaged costs one more download, not the build', async () => {
  await mkdir(join(bench.folder, 'cache'))
  await writeFile(join(bench.folder, 'cache', `${sha256}.0-old.part`), randomBytes(1000))
  expect((await obtain({ url, sha256 })).bytes.equals(image)).toBe(true)
  expect(requests).toEqual(['bytes=1000-', undefined])
})

test('a server without ranges sends everything anew', async () => {
  const breaking = breaksAfter(50_000, (_, response) => void response.writeHead(200).end(image))
  expect((await obtain({ url, sha256 }, breaking)).bytes.equals(image)).toBe(true)
  expect(requests).toHaveLength(2)
})

test('an image of another digest is refused and not kept', async () => {
  const other = 'b'.repeat(64)
  await expect(obtain({ url, sha256: other })).rejects.toMatchObject({
    code: 'invalid-input',
    message: expect.stringContaining(`its sha256 is ${sha256}, expected was ${other}`),
  })
  expect(await cached()).toEqual([])
})

test('a server that refuses is named without what is secret in its address', async () => {
  answer = (_, response) => void response.writeHead(404).end()
  const error = await obtain({ url, sha256 }).catch((reason) => reason)
  expect(error).toMatchObject({
    code: 'upstream-failed',
    message: expect.stringContaining('/images/base.iso answered 404'),
  })
  expect(error.message).not.toContain('secret')
  expect(requests).toHaveLength(1)
})

test('a server that sends nothing is left after a while', async () => {
  answer = (_, response) => void response.writeHead(200, { 'content-length': image.length }).write('a')
  const limits = { ...defaultLimits, stallMs: 50 }
  await expect(obtain({ url, sha256 }, { limits })).rejects.toMatchObject({ code: 'upstream-failed' })
})

test('an image that is too large, or has no room, is not begun', async () => {
  const limits = { ...defaultLimits, baseBytes: 1000 }
  await expect(obtain({ url, sha256 }, { limits })).rejects.toMatchObject({ code: 'body-too-large' })
  await expect(obtain({ url, sha256 }, { freeBytes: async () => 1000 })).rejects.toMatchObject({ code: 'storage-full' })
  answer = (_, response) => {
    response.writeHead(200)
    response.end(image)
  }
  await expect(obtain({ url, sha256 }, { limits })).rejects.toMatchObject({ code: 'body-too-large' })
  const sizes = await Promise.all(
    (await cached()).map(async (name) => (await stat(join(bench.folder, 'cache', name))).size),
  )
  expect(Math.max(0, ...sizes)).toBeLessThanOrEqual(1000)
})

test('without a digest the image is downloaded for every build and not kept', async () => {
  expect((await obtain({ url, unverified: true })).sha256).toBe(sha256)
  expect((await obtain({ url, unverified: true })).sha256).toBe(sha256)
  expect(requests).toHaveLength(2)
  expect(await cached()).toEqual([])
})

test('a file is hashed once, and again when it was written to', async () => {
  const path = join(bench.folder, 'base.iso')
  await writeFile(path, image)
  const verified: number[] = []
  const progress = ({ phase, doneBytes }: { phase: string; doneBytes: number }) =>
    phase === 'verify' && verified.push(doneBytes)
  await obtain({ path: 'base.iso', sha256 }, { progress })
  const once = verified.length
  await obtain({ path: 'base.iso', sha256 }, { progress })
  expect(verified).toHaveLength(once)
  await writeFile(path, Buffer.concat([image.subarray(1), Buffer.from('x')]))
  await utimes(path, 1, 1)
  await expect(obtain({ path: 'base.iso', sha256 }, { progress })).rejects.toThrow(/not the one of the configuration/)
  await expect(obtain({ path: 'none.iso', sha256 })).rejects.toMatchObject({ code: 'not-found' })
})

test('a damaged image in the cache is downloaded anew', async () => {
  await obtain({ url, sha256 })
  await writeFile(join(bench.folder, 'cache', sha256), 'damaged')
  expect((await obtain({ url, sha256 })).bytes.equals(image)).toBe(true)
  expect(requests).toHaveLength(2)
})

test('the cache keeps its limit and forgets what was unused for longest', async () => {
  await mkdir(join(bench.folder, 'cache'))
  for (const [name, usedAt] of [
    ['old', 1000],
    ['new', 2000],
  ] as const) {
    const path = join(bench.folder, 'cache', name)
    await writeFile(path, Buffer.alloc(100_000))
    await utimes(path, usedAt, usedAt)
  }
  await obtain({ url, sha256 }, { limits: { ...defaultLimits, cacheBytes: 450_000 } })
  expect(await cached()).toContain('new')
  expect(await cached()).not.toContain('old')
})

import { createHash, randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { sha256OfReprDigest } from '@freehold/contracts'
import { afterEach, expect, test } from 'vitest'
import { type Hasher, type UploadOptions, uploadResumably } from './upload.ts'

const stops: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
})

type Trouble = (request: IncomingMessage, response: ServerResponse, body: Buffer) => 'handled' | undefined

/** An upload resource that keeps its bytes, and makes the trouble it is told to. */
async function startUploads(options: { kept?: Buffer; trouble?: Trouble } = {}) {
  const state = { kept: options.kept ?? Buffer.alloc(0), complete: false, patches: 0, digest: '' }
  const answer = (response: ServerResponse, status: number) =>
    response
      .writeHead(status, { 'upload-offset': state.kept.length, 'upload-complete': state.complete ? '?1' : '?0' })
      .end()
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const body = Buffer.concat(chunks)
    if (request.method === 'PATCH') state.patches += 1
    if (options.trouble?.(request, response, body) === 'handled') return
    if (request.method === 'HEAD') return answer(response, 204)
    if (Number(request.headers['upload-offset']) !== state.kept.length) return answer(response, 409)
    state.kept = Buffer.concat([state.kept, body])
    state.complete = request.headers['upload-complete'] === '?1'
    if (state.complete) state.digest = sha256OfReprDigest(String(request.headers['repr-digest'])) ?? ''
    return answer(response, 204)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  stops.push(
    () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  )
  return { state, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

function hasher(): Hasher {
  const hash = createHash('sha256')
  return { update: (bytes) => hash.update(bytes), hex: () => hash.digest('hex') }
}

const file = randomBytes(100_000)
const sha256 = createHash('sha256').update(file).digest('hex')

function optionsFor(url: string, bytes: Buffer = file): UploadOptions {
  const read = async (from: number, until: number) => Uint8Array.from(bytes.subarray(from, until))
  return {
    ...{ url, path: '/upload', token: 'secret', hasher: hasher(), partBytes: 30_000, firstWaitMs: 1 },
    source: { sizeBytes: bytes.length, read },
  }
}

test('a file goes up in parts, its digest with the last, and progress is what is kept', async () => {
  const { state, url } = await startUploads()
  const progress: number[] = []
  const answer = await uploadResumably({ ...optionsFor(url), onProgress: (done) => progress.push(done) })
  expect(answer).toEqual({ sha256 })
  expect(state).toMatchObject({ complete: true, digest: sha256, patches: 4 })
  expect(state.kept.equals(file)).toBe(true)
  expect(progress).toEqual([0, 30_000, 60_000, 90_000, 100_000])
})

test('it goes on where an earlier upload broke off, and the digest is that of the whole', async () => {
  const { state, url } = await startUploads({ kept: file.subarray(0, 85_000) })
  expect(await uploadResumably(optionsFor(url))).toEqual({ sha256 })
  expect(state).toMatchObject({ complete: true, digest: sha256, patches: 1 })
})

test('connections that break are tried again, from what is kept', async () => {
  let broken = 0
  const retried: string[] = []
  const { state, url } = await startUploads({
    trouble: (request, response) => {
      if (request.method !== 'PATCH' || broken >= 3) return undefined
      broken += 1
      response.destroy()
      return 'handled'
    },
  })
  await uploadResumably({ ...optionsFor(url), onRetry: ({ code }) => retried.push(code) })
  expect(retried).toEqual(['unavailable', 'unavailable', 'unavailable'])
  expect(state.kept.equals(file)).toBe(true)
})

test('what another has sent meanwhile is gone on from', async () => {
  let isFirst = true
  const uploads: Awaited<ReturnType<typeof startUploads>> = await startUploads({
    trouble: (request) => {
      if (request.method === 'PATCH' && isFirst) uploads.state.kept = file.subarray(0, 40_000)
      if (request.method === 'PATCH') isFirst = false
      return undefined
    },
  })
  await uploadResumably(optionsFor(uploads.url))
  expect(uploads.state).toMatchObject({ complete: true, digest: sha256 })
})

test('a refusal is told as the server told it, and not tried again', async () => {
  const { state, url } = await startUploads({
    trouble: (request, response) => {
      if (request.method !== 'PATCH') return undefined
      const error = { code: 'invalid-input', message: 'It is no image.' }
      response.writeHead(400, { 'content-type': 'application/json' }).end(JSON.stringify({ error }))
      return 'handled'
    },
  })
  await expect(uploadResumably(optionsFor(url))).rejects.toMatchObject({
    code: 'invalid-input',
    message: 'It is no image.',
  })
  expect(state.patches).toBe(1)
})

test('a server that stays away is given up after some tries; an aborted upload ends at once', async () => {
  const { url } = await startUploads({
    trouble: (_, response) => {
      response.destroy()
      return 'handled'
    },
  })
  const retried: unknown[] = []
  await expect(
    uploadResumably({ ...optionsFor(url), maxTries: 3, onRetry: (error) => retried.push(error) }),
  ).rejects.toMatchObject({ code: 'unavailable' })
  expect(retried).toHaveLength(2)
  const stop = new AbortController()
  stop.abort(new Error('not wanted'))
  await expect(uploadResumably({ ...optionsFor(url), signal: stop.signal })).rejects.toThrow('not wanted')
})

test('an empty file and a longer upload are said to be what they are', async () => {
  const { url } = await startUploads({ kept: Buffer.alloc(10) })
  await expect(uploadResumably(optionsFor(url, Buffer.alloc(0)))).rejects.toThrow('The file is empty.')
  await expect(uploadResumably({ ...optionsFor(url, Buffer.alloc(5)), maxTries: 1 })).rejects.toThrow('longer file')
})

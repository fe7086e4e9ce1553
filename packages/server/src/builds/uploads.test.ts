import { randomBytes } from 'node:crypto'
import { request } from 'node:http'
import { baseImageContentPath, baseImageKind, partialUploadType, reprDigestOf } from '@freehold/contracts'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { sha256Of, startPlayedWorker } from './worker.testing.ts'
import { type BuildsWorld, createBuildsWorld } from './world.testing.ts'

let world: BuildsWorld
beforeEach(async () => {
  world = await createBuildsWorld()
})
afterEach(() => world.close())

const bytes = randomBytes(200_000)
const sha256 = sha256Of(bytes)

interface Part {
  offset: number
  body?: Buffer
  isLast?: boolean
  sha256?: string
}

async function send(id: string, { offset, body, isLast = false, sha256: said = sha256 }: Part) {
  const headers = {
    authorization: `Bearer ${world.userToken}`,
    'content-type': partialUploadType,
    'upload-offset': String(offset),
    ...(isLast ? { 'upload-complete': '?1', 'repr-digest': reprDigestOf(said) } : {}),
  }
  const init = body === undefined ? {} : { body: Uint8Array.from(body) }
  return fetch(`${world.url}${baseImageContentPath(id)}`, { method: 'PATCH', headers, ...init })
}

const head = (id: string) =>
  fetch(`${world.url}${baseImageContentPath(id)}`, {
    method: 'HEAD',
    headers: { authorization: `Bearer ${world.userToken}` },
  })
const offsetOf = async (id: string) => (await head(id)).headers.get('upload-offset')

describe('a base image', () => {
  test('is uploaded in parts, over a break and a restart, and fetched by a worker', async () => {
    const { id } = await world.createBase()
    expect((await send(id, { offset: 0, body: bytes.subarray(0, 90_000) })).status).toBe(204)
    await world.restart({ kill: true })
    expect(await offsetOf(id)).toBe('90000')
    const wrong = await send(id, { offset: 5, body: bytes })
    expect([wrong.status, wrong.headers.get('upload-offset')]).toEqual([409, '90000'])
    const last = await send(id, { offset: 90_000, body: bytes.subarray(90_000), isLast: true })
    expect([last.status, last.headers.get('upload-complete')]).toEqual([204, '?1'])
    const base = await world.store.get(baseImageKind, id)
    expect(base?.status).toMatchObject({ state: 'ready', blob: { digest: `sha256:${sha256}`, sizeBytes: 200_000 } })
    expect((await head(id)).headers.get('upload-complete')).toBe('?1')

    const worker = await startPlayedWorker()
    let fetched: Buffer | undefined
    worker.plays(async (job) => {
      const answer = await fetch(job.job.sourceImageUrl ?? '')
      fetched = Buffer.from(await answer.arrayBuffer())
      job.succeed(await job.upload(randomBytes(10)))
    })
    await world.workers([worker.url])
    const build = await world.create({ baseImageId: id })
    await world.until(build.id, 'succeeded')
    expect(fetched?.equals(bytes)).toBe(true)
    expect(worker.jobs[0]?.job.sourceImageSha256).toBe(sha256)
    // It is of whatever version it is.
    expect(worker.jobs[0]?.job.ubuntuVersion).toBeUndefined()
    await worker.close()
  })

  test('keeps what arrived of a request that broke off', async () => {
    const { id } = await world.createBase()
    const { promise, resolve } = Promise.withResolvers<void>()
    const broken = request(`${world.url}${baseImageContentPath(id)}`, {
      method: 'PATCH',
      headers: {
        authorization: `Bearer ${world.userToken}`,
        'content-type': partialUploadType,
        'upload-offset': '0',
        'content-length': bytes.length,
      },
    })
    broken.on('error', () => resolve())
    broken.write(bytes.subarray(0, 120_000), () => setTimeout(() => broken.destroy(new Error('cable')), 100))
    await promise
    await expect.poll(async () => Number(await offsetOf(id))).toBeGreaterThan(0)
    const offset = Number(await offsetOf(id))
    expect((await send(id, { offset, body: bytes.subarray(offset), isLast: true })).status).toBe(204)
  })

  test('with another digest than was said is dropped, and begins at 0', async () => {
    const { id } = await world.createBase()
    const wrong = await send(id, { offset: 0, body: bytes, isLast: true, sha256: 'c'.repeat(64) })
    expect([wrong.status, wrong.headers.get('upload-offset')]).toEqual([400, '0'])
    expect((await send(id, { offset: 0, body: bytes, isLast: true })).status).toBe(204)
  })

  test('with another digest than its record demands is refused', async () => {
    const { id } = await world.createBase({ sha256: 'd'.repeat(64) })
    const refused = await send(id, { offset: 0, body: bytes, isLast: true })
    expect(refused.status).toBe(400)
    expect(await refused.text()).toContain('d'.repeat(64))
    expect(await offsetOf(id)).toBe('0')
  })

  test('takes a DELETE, refuses strangers, foreign pages and other content types', async () => {
    const { id } = await world.createBase()
    await send(id, { offset: 0, body: bytes.subarray(0, 10) })
    const url = `${world.url}${baseImageContentPath(id)}`
    const authorization = `Bearer ${world.userToken}`
    expect((await fetch(url, { method: 'HEAD' })).status).toBe(401)
    const json = { authorization, 'content-type': 'application/json', 'upload-offset': '10' }
    expect((await fetch(url, { method: 'PATCH', headers: json, body: '{}' })).status).toBe(415)
    const foreign = { authorization, 'sec-fetch-site': 'cross-site' }
    expect((await fetch(url, { method: 'DELETE', headers: foreign })).status).toBe(403)
    expect((await fetch(url, { method: 'DELETE', headers: { authorization } })).status).toBe(204)
    expect(await offsetOf(id)).toBe('0')
    expect((await fetch(`${url}?expires=1&signature=x`)).status).toBe(403)
  })

  test('is not deleted while a build that has not ended needs it, and goes with its bytes afterwards', async () => {
    const { id } = await world.createBase()
    await send(id, { offset: 0, body: bytes, isLast: true })
    const build = await world.create({ baseImageId: id })
    await expect(world.removeBase(id)).rejects.toThrow(`The build ${build.id} needs the base image`)
    await world.cancel(build.id)
    await world.removeBase(id)
    expect((await Array.fromAsync(world.blobs.list())).length).toBe(0)
  })

  test('with an address is ready at once, and takes no upload', async () => {
    const url = 'https://images.example/base.img.xz'
    const { id, status } = await world.createBase({ url, sha256 })
    expect(status.state).toBe('ready')
    expect((await send(id, { offset: 0, body: bytes })).status).toBe(409)
  })
})

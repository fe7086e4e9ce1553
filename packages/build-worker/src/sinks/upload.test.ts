import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { makeDiskImage, whyNoBaseImages } from '../../../../tools/base-images.ts'
import {
  type PlayedControlPlane,
  playControlPlane,
  post,
  sha256Of,
  startWorker,
  uploadToken,
} from '../worker.testing.ts'

const why = whyNoBaseImages()

let bases = ''
let cloud: PlayedControlPlane
beforeAll(async () => {
  bases = await mkdtemp(join(tmpdir(), 'build-worker-uploads-'))
  if (why === undefined) await makeDiskImage(join(bases, 'disk.img'), { table: 'mbr' })
})
afterAll(() => rm(bases, { recursive: true, force: true }))
beforeEach(async () => {
  cloud = await playControlPlane()
  cloud.files.set('/disk.img', join(bases, 'disk.img'))
})
afterEach(() => cloud[Symbol.asyncDispose]())

const diskJob = () => ({
  id: 'build-123',
  architecture: 'rpi',
  imageKind: 'balena-raw',
  cloudlyUrl: cloud.url,
  provisioningToken: 'one-time-baseos-token',
  sourceImageUrl: `${cloud.url}/disk.img`,
  compression: 'none',
  upload: { url: `${cloud.url}/upload`, token: uploadToken },
})

describe.skipIf(why !== undefined)('an upload', () => {
  test('goes on where it stopped, however often it breaks', async () => {
    await using worker = await startWorker({}, { patience: { patienceMs: 20_000, pauseMs: 10, longestPauseMs: 50 } })
    let faults = 0
    cloud.intercept = async (request, response) => {
      if (request.url !== '/upload' || faults >= 6) return false
      faults += 1
      if (faults === 1) response.writeHead(503).end()
      else if (faults === 2) request.destroy()
      else if (faults === 3 && request.method === 'PATCH') {
        // Some of it arrives and is kept.
        for await (const chunk of request as AsyncIterable<Buffer>) {
          cloud.upload.bytes.push(chunk)
          cloud.upload.sizeBytes += chunk.length
          break
        }
        request.destroy()
      } else if (faults === 4 && request.method === 'HEAD') response.writeHead(500).end()
      else return false
      return true
    }
    const { result } = await post(worker.url, { job: diskJob() })
    expect(result).toMatchObject({ success: true, artifact: { sha256: sha256Of(Buffer.concat(cloud.upload.bytes)) } })
    expect(faults).toBe(6)
  })

  test('whose last answer is lost counts as done', async () => {
    await using worker = await startWorker({}, { patience: { patienceMs: 20_000, pauseMs: 10, longestPauseMs: 50 } })
    let isLost = false
    cloud.intercept = async (request, response) => {
      if (request.headers['upload-complete'] !== '?1' || isLost) return false
      isLost = true
      Object.assign(cloud.upload, { isComplete: true, sha256: sha256Of(Buffer.concat(cloud.upload.bytes)) })
      response.destroy()
      return true
    }
    const { result } = await post(worker.url, { job: diskJob() })
    expect(result).toMatchObject({ success: true })
    expect(isLost).toBe(true)
  })

  test('that the control plane never takes fails, and what was sent is removed', async () => {
    await using worker = await startWorker({}, { patience: { patienceMs: 300, pauseMs: 10, longestPauseMs: 50 } })
    cloud.intercept = (request, response) => {
      if (request.headers['upload-complete'] !== '?1') return false
      response.writeHead(503).end()
      return true
    }
    const { status, result } = await post(worker.url, { job: diskJob() })
    expect([status, result]).toMatchObject([
      502,
      { code: 'upstream-failed', error: expect.stringMatching(/answered 503/) },
    ])
    expect(cloud.upload.sizeBytes).toBe(0)
    expect(cloud.requests.at(-1)).toBe('DELETE /upload')
    expect(await worker.leftovers()).toEqual([])
  })

  test('begins anew where something of an attempt before is there', async () => {
    await using worker = await startWorker()
    cloud.upload.bytes.push(Buffer.from('something else'))
    cloud.upload.sizeBytes = 14
    expect((await post(worker.url, { job: diskJob() })).result).toMatchObject({ success: true })
    expect(cloud.requests).toContain('DELETE /upload')
  })
})

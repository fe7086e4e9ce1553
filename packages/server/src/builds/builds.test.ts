import { randomBytes } from 'node:crypto'
import { joinTokenKind, partialUploadType, reprDigestOf } from '@freehold/contracts'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type PlayedWorker, sha256Of, startPlayedWorker } from './worker.testing.ts'
import { actor, type BuildsWorld, createBuildsWorld, passphrase, sshKey } from './world.testing.ts'

/** Workers here are played from the contract; the real one has its own tests. */
let world: BuildsWorld
let worker: PlayedWorker
const workerToken = 'the-token-of-the-worker'

beforeEach(async () => {
  world = await createBuildsWorld()
  worker = await startPlayedWorker({ token: workerToken })
  await world.workers([{ url: worker.url, token: workerToken, id: 'one' }])
  world.start()
})
afterEach(async () => {
  await world.close()
  await worker.close()
})

describe('a build', () => {
  test('becomes an image that is downloaded whole, in ranges and by its digest', async () => {
    const bytes = randomBytes(300_000)
    worker.plays(async (job) => {
      job.say({ log: 'unpacking' })
      job.say('garbage\n')
      job.say({ progress: { phase: 'write', doneBytes: 5, totalBytes: 10 } })
      job.succeed(await job.upload(bytes))
    })
    const { id } = await world.create({ deviceLabels: { shop: '1' } })
    const build = await world.until(id, 'succeeded')
    expect(build.status).toMatchObject({ attempt: 1, workerId: 'one', message: 'The image is ready.' })
    expect(build.status.artifact).toMatchObject({ sha256: sha256Of(bytes), sizeBytes: bytes.length })
    expect(build.data.sealed).toBeNull()
    expect(await world.token(build)).toBe(false)

    const { url } = await world.download(id)
    const whole = await fetch(url)
    expect(whole.status).toBe(200)
    expect(Buffer.from(await whole.arrayBuffer()).equals(bytes)).toBe(true)
    expect(whole.headers.get('repr-digest')).toBe(reprDigestOf(sha256Of(bytes)))
    expect(whole.headers.get('content-disposition')).toBe('attachment; filename="baseos-test.iso"')
    const etag = whole.headers.get('etag') ?? ''
    const part = await fetch(url, { headers: { range: 'bytes=10-19', 'if-range': etag } })
    expect(part.status).toBe(206)
    expect(Buffer.from(await part.arrayBuffer()).equals(bytes.subarray(10, 20))).toBe(true)
    expect((await fetch(url, { headers: { 'if-none-match': etag } })).status).toBe(304)
    expect((await fetch(url, { headers: { range: 'bytes=300000-' } })).status).toBe(416)
    const head = await fetch(url, { method: 'HEAD' })
    expect([head.status, head.headers.get('content-length')]).toEqual([200, '300000'])
    expect((await fetch(url.replace(/expires=\d+/, 'expires=99999999999'))).status).toBe(403)
    world.pass(16 * 60_000)
    expect((await fetch(url)).status).toBe(403)
    const audit = await world.store.audit({ kind: 'build', id })
    expect(audit[0]).toMatchObject({ operation: 'status', actor })
  })

  test('gives the worker all that goes into the image, and shows nothing secret of it anywhere', async () => {
    worker.plays(async (job) => {
      job.say({ log: `config: ${JSON.stringify(job.job)}` })
      job.say({ progress: { phase: job.job.provisioningToken.slice(0, 32), doneBytes: 1, totalBytes: null } })
      job.fail(`It broke with ${job.job.provisioningToken} and ${job.job.wifi?.passphrase}.`, 'invalid-input')
    })
    const input = { hostname: 'till-7', sshPublicKey: sshKey, wifi: { ssid: 'shop', passphrase } }
    const { id } = await world.create(input)
    await expect.poll(async () => (await world.read(id)).status.state).toBe('failed')
    const [{ job } = { job: undefined }] = worker.jobs
    expect(job).toMatchObject({
      id: `${id}.1`,
      hostname: 'till-7',
      sshPublicKey: sshKey,
      sshUser: 'baseos',
      ubuntuVersion: '24.04',
      cloudlyUrl: world.url,
      wifi: { ssid: 'shop', passphrase, hidden: false },
      agent: { sha256: 'a'.repeat(64) },
    })
    const said = await world.everythingSaid()
    expect(said).toContain('[redacted]')
    const secrets = [job?.provisioningToken, job?.upload?.token, workerToken, passphrase, JSON.stringify(passphrase)]
    for (const secret of secrets) expect(said).not.toContain(secret?.replaceAll('"', String.raw`\"`))
    for (const secret of ['correct', 'battery', 'sealed"']) expect(said).not.toContain(secret)
    expect(await world.token(await world.read(id))).toBe(true)
  })

  test('that no worker can make waits and says which there are and why', async () => {
    await worker.close()
    worker = await startPlayedWorker({ capabilities: { supportedArchitectures: ['rpi'] } })
    await world.workers([worker.url, { url: 'http://127.0.0.1:9', id: 'away' }])
    const { id } = await world.create()
    await expect
      .poll(async () => (await world.read(id)).status.message)
      .toMatch(/it makes nothing for amd64; away: It cannot be asked: nothing listens at its address\.$/)
    expect((await world.listWorkers()).map(({ state }: { state: string }) => state)).toEqual([
      'idle',
      'unreachable',
      'off',
    ])
  })

  test('is made by a worker of old, which says nothing until it is ready', async () => {
    await worker.close()
    worker = await startPlayedWorker({ isOld: true })
    await world.workers([worker.url])
    const { id } = await world.create()
    await world.until(id, 'succeeded')
    expect((await world.log(id)).map(({ text }) => text)).toContain('from the result')
  })

  test('is followed by its log until it has ended', async () => {
    worker.plays(async (job) => {
      for (let line = 0; line < 1500; line++) job.say({ log: `line ${line}` })
      job.succeed(await job.upload(randomBytes(100)))
    })
    const { id } = await world.create()
    const followed = await world.log(id, true)
    expect(followed.at(-1)?.text).toBe('The image is ready.')
    const kept = (await world.log(id)).map(({ text }) => text)
    expect(kept).toContain('line 0')
    expect(kept).toContain('line 1499')
    expect(kept.some((text) => text.includes('lines are left out'))).toBe(true)
    expect(kept.length).toBeLessThan(1200)
  })

  test('says in its log once why it failed, and where no device would reach the control plane', async () => {
    worker.plays(async (job) => {
      job.say({ log: 'The base image is truncated.' })
      job.fail('The base image is truncated.', 'invalid-input')
    })
    const { id } = await world.create()
    await world.until(id, 'failed')
    const said = (await world.log(id, true)).map(({ text }) => text)
    expect(said.filter((text) => text === 'The base image is truncated.')).toHaveLength(1)
    expect(said.filter((text) => text.includes('set SERVEZONE_URL'))).toHaveLength(1)
  })

  test('is refused at once where no image could be made of it', async () => {
    await expect(world.create({ imageKind: 'balena-raw' })).rejects.toThrow('balena-raw needs a base image')
    await expect(world.create({ architecture: 'rpi' })).rejects.toThrow('a Raspberry Pi takes balena-raw')
    const { id } = await world.createBase()
    await expect(world.create({ baseImageId: id })).rejects.toThrow('are not there yet')
    expect((await world.store.all(joinTokenKind)).length).toBe(0)
  })
})

describe('an image that is not what the worker says', () => {
  test.each([
    [
      'another digest',
      (made: { size: number; sha256: string }) => ({ ...made, sha256: 'b'.repeat(64) }),
      'another one arrived',
    ],
    ['another size', (made: { size: number; sha256: string }) => ({ ...made, size: 7 }), 'it says 7 bytes'],
  ])('%s: the build fails after three attempts, and nothing of it stays', async (_, change, message) => {
    worker.plays(async (job) => job.succeed(change(await job.upload(randomBytes(5_000)))))
    const { id } = await world.create()
    await expect.poll(async () => (await world.read(id)).status.state, { timeout: 15_000 }).toBe('failed')
    const { status } = await world.read(id)
    expect(status.message).toContain(message)
    expect(status).toMatchObject({ attempt: 3, artifact: null })
    await expect.poll(async () => (await Array.fromAsync(world.blobs.list())).length).toBe(0)
    expect(await world.token(await world.read(id))).toBe(true)
  })

  test('nothing arrived', async () => {
    worker.plays((job) => job.succeed({ size: 5, sha256: 'b'.repeat(64) }))
    const { id } = await world.create()
    await expect.poll(async () => (await world.read(id)).status.state, { timeout: 15_000 }).toBe('failed')
    expect((await world.read(id)).status.message).toContain('no whole image arrived')
  })
})

describe('a worker that is lost', () => {
  test('is followed by another one', async () => {
    const other = await startPlayedWorker()
    await world.workers([
      { url: worker.url, token: workerToken, id: 'a' },
      { url: other.url, id: 'b' },
    ])
    worker.plays(async (job) => {
      await job.upload(randomBytes(9_000), { stopAfterParts: 2 })
      job.response.destroy()
    })
    const { id } = await world.create()
    const build = await world.until(id, 'succeeded')
    expect(build.status).toMatchObject({ attempt: 2, workerId: 'b' })
    expect(worker.jobs.length).toBe(1)
    expect((await world.log(id)).map(({ text }) => text).join('\n')).toContain('broke the connection off')
    await other.close()
  })

  test('can upload nothing any more', async () => {
    let late: Promise<number> | undefined
    worker.plays(async (job) => {
      if (job.job.id.endsWith('.1')) {
        job.response.destroy()
        return
      }
      const { token: old, url } = worker.jobs[0]?.job.upload ?? { token: '', url: '' }
      const headers = { authorization: `Bearer ${old}`, 'content-type': partialUploadType, 'upload-offset': '0' }
      late = fetch(url, { method: 'PATCH', headers, body: 'x' }).then(({ status }) => status)
      await late
      job.succeed(await job.upload(randomBytes(100)))
    })
    const { id } = await world.create()
    await world.until(id, 'succeeded')
    expect(await late).toBe(401)
  })
})

describe('a cancel', () => {
  test('of a build that waits ends it and its token', async () => {
    await world.workers([])
    const { id } = await world.create()
    expect((await world.cancel(id)).status.state).toBe('cancelled')
    expect(await world.token(await world.read(id))).toBe(true)
    await expect(world.cancel(id)).rejects.toThrow('ended already: it is cancelled')
  })

  test.each([0, 1, 3])('after %s parts of the upload ends the job, and nothing stays', async (parts) => {
    const { promise: reached, resolve } = Promise.withResolvers<void>()
    worker.plays(async (job) => {
      if (parts > 0) await job.upload(randomBytes(9_000), { stopAfterParts: parts })
      resolve()
      await job.gone
    })
    const { id } = await world.create()
    await reached
    await world.cancel(id)
    await worker.jobs[0]?.gone
    await expect.poll(() => world.noun.totals().running).toBe(0)
    const build = await world.read(id)
    expect(build.status).toMatchObject({ state: 'cancelled', artifact: null })
    expect(build.data.sealed).toBeNull()
    expect(await world.token(build)).toBe(true)
    expect((await Array.fromAsync(world.blobs.list())).length).toBe(0)
    await expect(world.download(id)).rejects.toThrow('The build is cancelled')
    expect((await world.log(id)).length).toBeGreaterThan(0)
  })
})

describe('a restart of the control plane', () => {
  test.each([true, false])('while a build waits changes nothing (killed: %s)', async (kill) => {
    await world.workers([])
    const { id } = await world.create()
    await world.restart({ kill })
    await world.workers([{ url: worker.url, token: workerToken }])
    expect((await world.until(id, 'succeeded')).status.attempt).toBe(1)
  })

  test.each([
    [true, 0],
    [true, 2],
    [true, 3],
    [false, 2],
  ])('while it is built begins anew (killed: %s, parts uploaded: %s)', async (kill, parts) => {
    const { promise: reached, resolve } = Promise.withResolvers<void>()
    worker.plays(async (job) => {
      if (worker.jobs.length > 1) return job.succeed(await job.upload(randomBytes(700)))
      job.say({ log: 'before the restart' })
      if (parts > 0) await job.upload(randomBytes(9_000), { stopAfterParts: parts })
      resolve()
      await job.gone
    })
    const { id } = await world.create()
    await reached
    await expect.poll(async () => (await world.log(id)).map(({ text }) => text)).toContain('before the restart')
    await world.restart({ kill })
    const build = await world.until(id, 'succeeded')
    expect(build.status.attempt).toBe(kill ? 2 : 1)
    // What a killed process had said within its last seconds is lost.
    if (!kill) expect((await world.log(id)).map(({ text }) => text)).toContain('before the restart')
    expect(await world.token(build)).toBe(false)
  })

  test('after it has ended changes nothing', async () => {
    const { id } = await world.create()
    const before = await world.until(id, 'succeeded')
    await world.restart({ kill: true })
    expect((await world.read(id)).status).toEqual(before.status)
    expect((await fetch((await world.download(id)).url)).status).toBe(200)
  })
})

describe('an image', () => {
  test('goes after its days, and its record says so', async () => {
    const { id } = await world.create({ keepForDays: 2 })
    await world.until(id, 'succeeded')
    world.pass(2 * 86_400_000 + 1000)
    await world.restart({ kill: false })
    await expect.poll(async () => (await world.read(id)).status.artifact?.location).toBeNull()
    expect((await world.read(id)).status).toMatchObject({ state: 'succeeded' })
    await expect.poll(async () => (await Array.fromAsync(world.blobs.list())).length).toBe(0)
    await expect(world.download(id)).rejects.toThrow('kept for 2 days')
  })

  test('whose bytes are gone says so', async () => {
    const { id } = await world.create()
    const { status } = await world.until(id, 'succeeded')
    const { url } = await world.download(id)
    await world.blobs.delete(`sha256:${status.artifact?.sha256}`)
    expect((await fetch(url)).status).toBe(404)
    await expect(world.download(id)).rejects.toThrow('are gone')
    expect((await world.read(id)).status.artifact?.location).toBeNull()
  })

  test('goes with its build, and so does a token that nobody used', async () => {
    const { id } = await world.create()
    const build = await world.until(id, 'succeeded')
    await world.remove(id)
    expect((await Array.fromAsync(world.blobs.list())).length).toBe(0)
    expect(await world.token(build)).toBe(true)
  })

  test('keeps a token that was used', async () => {
    const { id } = await world.create()
    const build = await world.until(id, 'succeeded')
    await world.store.transaction(actor, async (transaction) => {
      const token = await transaction.get(joinTokenKind, build.data.joinTokenId)
      if (token !== undefined) await transaction.setStatus(joinTokenKind, token.id, { ...token.status, used: 1 })
    })
    await world.remove(id)
    expect(await world.token(build)).toBe(false)
  })
})

test('a build whose token was revoked meanwhile fails instead of making an image that is of no use', async () => {
  await world.workers([])
  const build = await world.create()
  await world.store.transaction(actor, async (transaction) => {
    const token = await transaction.get(joinTokenKind, build.data.joinTokenId)
    if (token !== undefined)
      await transaction.update(joinTokenKind, token.id, { data: { ...token.data, revoked: true } })
  })
  await world.workers([{ url: worker.url, token: workerToken }])
  await expect.poll(async () => (await world.read(build.id)).status.message).toContain('join token is revoked')
  expect(worker.jobs.length).toBe(0)
})

test('one worker gets one job at a time, all builds are made, the oldest first', async () => {
  const order: string[] = []
  worker.plays(async (job) => {
    order.push(job.job.id.split('.')[0] ?? '')
    job.succeed(await job.upload(randomBytes(50)))
  })
  const ids = []
  for (let index = 0; index < 4; index++) ids.push((await world.create()).id)
  for (const id of ids) await world.until(id, 'succeeded')
  expect(order).toEqual(ids)
  expect(worker.most()).toBe(1)
})

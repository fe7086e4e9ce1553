import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { parseDigest } from '../digest.ts'
import { parseUploadId } from '../upload-id.ts'
import { PartBuffers } from './buffers.ts'
import { rangesOf } from './copy.ts'
import { toBlobError, toS3Failure } from './errors.ts'
import { keysOf, parseUploadKey } from './layout.ts'
import { PartCutter } from './parts.ts'
import { withoutGap } from './session.ts'

const partBytes = 600_000

it('cuts any chunks into equal parts and a last one, in order, and gives every buffer back', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 0, max: 900_000 }), { maxLength: 6 }),
      fc.boolean(),
      async (sizes, fails) => {
        const buffers = new PartBuffers({ count: 3, partBytes, waitMs: 5_000 })
        const chunks = sizes.map((size) => randomBytes(size))
        const whole = Buffer.concat(chunks)
        const sent: Buffer[] = []
        const cutter = new PartCutter({
          buffers,
          send: async (number, body) => {
            await new Promise((resolve) => setImmediate(resolve))
            if (fails && number === 2) throw new Error('a part failed')
            sent[number - 1] = Buffer.from(body)
          },
        })
        const failsHere = fails && whole.length > 2 * partBytes
        const cutting = (async () => {
          for (const chunk of chunks) await cutter.add(chunk)
          return Buffer.from(await cutter.finish())
        })()
        if (failsHere) await expect(cutting).rejects.toThrow('a part failed')
        else {
          const last = await cutting
          expect(Buffer.concat([...sent, last]).equals(whole)).toBe(true)
        }
        for (const body of sent) if (body !== undefined) expect(body.length).toBe(partBytes)
        await cutter.release()
        const all = [buffers.tryTake(), buffers.tryTake(), buffers.tryTake(), buffers.tryTake()]
        expect(all.map((buffer) => buffer?.length)).toEqual([partBytes, partBytes, partBytes, undefined])
      },
    ),
    { numRuns: 60 },
  )
})

it('hands buffers out in the order of asking, and refuses who waited too long', async () => {
  const buffers = new PartBuffers({ count: 1, partBytes: 10, waitMs: 50 })
  const first = await buffers.take()
  const order: number[] = []
  const waiting = [1, 2].map(async (number) => {
    const buffer = await buffers.take()
    order.push(number)
    buffers.give(buffer)
  })
  expect(buffers.tryTake()).toBeUndefined()
  buffers.give(first)
  await Promise.all(waiting)
  expect(order).toEqual([1, 2])
  const held = await buffers.take()
  await expect(buffers.take()).rejects.toMatchObject({ code: 'storage-unavailable' })
  buffers.give(held)
  expect(buffers.tryTake()).toBeDefined()
})

it('copies every byte once, in ranges of equal size but the last', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 10_000 }), fc.integer({ min: 1, max: 500 }), (sizeBytes, stepBytes) => {
      const ranges = rangesOf(sizeBytes, stepBytes)
      expect(ranges.at(0)?.start).toBe(0)
      expect(ranges.at(-1)?.end).toBe(sizeBytes - 1)
      for (const [index, { start, end }] of ranges.entries()) {
        const next = ranges[index + 1]
        if (next === undefined) continue
        expect([end + 1, end - start + 1]).toEqual([next.start, stepBytes])
      }
    }),
  )
})

it('counts parts only up to the first that is missing or not full', () => {
  const part = (number: number, sizeBytes = 5) => ({ number, sizeBytes, etag: '', modifiedAtMs: 0 })
  const numbersOf = (parts: ReturnType<typeof part>[]) => withoutGap(parts, 5).map(({ number }) => number)
  expect(numbersOf([])).toEqual([])
  expect(numbersOf([part(1), part(2)])).toEqual([1, 2])
  expect(numbersOf([part(2), part(3)])).toEqual([])
  expect(numbersOf([part(1), part(3)])).toEqual([1])
  expect(numbersOf([part(1), part(2, 1), part(3)])).toEqual([1])
})

it('reads back the keys it makes, and nothing else', () => {
  const keys = keysOf('prefix/')
  const id = parseUploadId(crypto.randomUUID())
  if (id === undefined) throw new Error('The id does not parse.')
  const upload = keys.upload(id)
  fc.assert(
    fc.property(fc.string({ unit: 'binary', minLength: 1, maxLength: 80 }), fc.nat(9999), (text, parts) => {
      const name = (key: string) => key.slice(upload.folder.length)
      const multipartId = Buffer.from(text).toString()
      expect(parseUploadKey(name(upload.parts(multipartId)))).toEqual({ kind: 'parts', multipartId })
      expect(parseUploadKey(name(upload.tail(parts)))).toEqual({ kind: 'tail', parts })
      expect(upload.parts(multipartId)).toMatch(/^[A-Za-z0-9/_-]+$/)
      const digest = parseDigest(text)
      if (digest !== undefined) expect(keys.blob(digest)).toMatch(/^prefix\/blobs\/sha(256|512)\/[0-9a-f/]+$/)
      if (parseUploadKey(text) !== undefined) expect(text).toMatch(/^(data|begun-|parts-|tail-)/)
    }),
  )
  expect(keys.uploadOf(upload.data)).toBe(id)
  expect(keys.uploadOf(`prefix/uploads/../${id}/data`)).toBeUndefined()
})

it('takes over of an answer only what tells no secret', () => {
  const raw = Object.assign(new Error('The signature does not match.'), {
    name: 'SignatureDoesNotMatch',
    AWSAccessKeyId: 'THE-KEY',
    StringToSign: 'what was signed',
    $metadata: { httpStatusCode: 403, attempts: 1 },
  })
  const failure = toS3Failure(raw)
  expect(failure).toMatchObject({ code: 'SignatureDoesNotMatch', status: 403, attempts: 1 })
  expect(JSON.stringify(Object.entries(failure))).not.toMatch(/THE-KEY|what was signed/)
  expect(failure.cause).toBeUndefined()
})

it('knows a full store from one that refuses and one that is away', () => {
  const of = (name: string, httpStatusCode: number) =>
    toBlobError(toS3Failure(Object.assign(new Error('x'), { name, $metadata: { httpStatusCode } })))
  expect(of('QuotaExceeded', 403)).toMatchObject({ code: 'storage-full' })
  expect(of('Whatever', 507)).toMatchObject({ code: 'storage-full' })
  expect(of('AccessDenied', 403)).toMatchObject({
    code: 'storage-unavailable',
    message: expect.stringMatching(/refuses/),
  })
  expect(of('SlowDown', 503)).toMatchObject({
    code: 'storage-unavailable',
    message: expect.stringMatching(/try again/),
  })
})

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { partsOf } from './parts.ts'

async function* streamOf(sizes: readonly number[]): AsyncGenerator<Buffer> {
  let next = 0
  for (const size of sizes) yield Buffer.from(Array.from({ length: size }, () => next++ % 251))
}

test('parts are all of one size but the last, in order, and together the stream', async () => {
  const sizes = fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 20 })
  await fc.assert(
    fc.asyncProperty(
      sizes,
      fc.integer({ min: 1, max: 16 }),
      fc.integer({ min: 1, max: 3 }),
      async (given, partBytes, count) => {
        const whole = Buffer.concat(await Array.fromAsync(streamOf(given)))
        const bodies: Buffer[] = []
        let held = 0
        for await (const { number, offsetBytes, body, release } of partsOf(streamOf(given), { partBytes, count })) {
          expect(number).toBe(bodies.length + 1)
          expect(offsetBytes).toBe(bodies.reduce((sum, { length }) => sum + length, 0))
          bodies.push(Buffer.from(body))
          held += 1
          expect(held).toBeLessThanOrEqual(count)
          setImmediate(() => {
            held -= 1
            release()
          })
        }
        expect(Buffer.concat(bodies).equals(whole)).toBe(true)
        expect(bodies.slice(0, -1).every(({ length }) => length === partBytes)).toBe(true)
        expect(bodies.length).toBe(Math.max(1, Math.ceil(whole.length / partBytes)))
      },
    ),
  )
})

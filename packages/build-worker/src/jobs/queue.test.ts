import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createQueue } from './queue.ts'

test('whoever comes, goes and gives up: never more run than may, in the order they came, and nobody is forgotten', async () => {
  const moves = fc.array(
    fc.oneof(
      fc.constant('come'),
      fc.nat(30).map((index) => `leave ${index}`),
      fc.nat(30).map((index) => `cancel ${index}`),
    ),
    { maxLength: 60 },
  )
  await fc.assert(
    fc.asyncProperty(
      moves,
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 0, max: 4 }),
      async (steps, maxRunning, maxWaiting) => {
        const queue = createQueue({ maxRunning, maxWaiting })
        const open: { number: number; cancel: AbortController; leave?: () => void }[] = []
        const admitted: number[] = []
        let number = 0
        for (const step of steps) {
          const [move, index] = step.split(' ')
          const place = open[Number(index ?? 0) % Math.max(1, open.length)]
          if (move === 'come') {
            const mine: (typeof open)[number] = { number, cancel: new AbortController() }
            number += 1
            const full = queue.running >= maxRunning && queue.waiting >= maxWaiting
            const entering = queue.enter({ signal: mine.cancel.signal, waits: () => undefined })
            if (full) {
              await expect(entering).rejects.toMatchObject({ code: 'unavailable', retryAfterSeconds: 30 })
              continue
            }
            open.push(mine)
            entering.then(
              (leave) => {
                admitted.push(mine.number)
                mine.leave = leave
              },
              () => open.splice(open.indexOf(mine), 1),
            )
          } else if (move === 'leave' && place?.leave !== undefined) {
            place.leave()
            place.leave()
            open.splice(open.indexOf(place), 1)
          } else if (move === 'cancel') place?.cancel.abort(new Error('gone'))
          await new Promise((resolve) => setImmediate(resolve))
          expect(queue.running).toBe(open.filter(({ leave }) => leave !== undefined).length)
          expect(queue.running).toBeLessThanOrEqual(maxRunning)
          expect(queue.waiting).toBe(open.length - queue.running)
          expect(queue.waiting === 0 || queue.running === maxRunning).toBe(true)
        }
        expect(admitted).toEqual(admitted.toSorted((one, other) => one - other))
      },
    ),
    { numRuns: 60 },
  )
})

test('those who wait hear how many are before them', async () => {
  const queue = createQueue({ maxRunning: 1, maxWaiting: 2 })
  const heard: string[] = []
  const { signal } = new AbortController()
  const leave = await queue.enter({ signal, waits: () => undefined })
  const second = queue.enter({ signal, waits: (before) => heard.push(`second ${before}`) })
  const third = queue.enter({ signal, waits: (before) => heard.push(`third ${before}`) })
  leave()
  await second
  expect(heard).toEqual(['second 1', 'third 2', 'third 1'])
  ;(await second)()
  ;(await third)()
  expect([queue.running, queue.waiting]).toEqual([0, 0])
})

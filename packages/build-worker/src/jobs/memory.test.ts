import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { FreeholdError } from '@freehold/contracts'
import { expect, test } from 'vitest'
import { createMemoryGuard, createMemoryReader } from './memory.ts'
import { killGroup } from './workspace.ts'

const megabyte = 1_000_000

test('the job that began last is ended first, and the one before it only when that did not help', async () => {
  let used = 500 * megabyte
  const said: string[] = []
  const guard = createMemoryGuard({
    limitBytes: 300 * megabyte,
    usedBytes: async () => used,
    say: (text) => said.push(text),
  })
  const reasons: Record<string, FreeholdError[]> = { one: [], two: [] }
  const leaveOne = guard.enter((reason) => reasons.one?.push(reason))
  const leaveTwo = guard.enter((reason) => reasons.two?.push(reason))
  await expect.poll(() => reasons.two).toHaveLength(1)
  expect(reasons.two?.[0]).toMatchObject({
    code: 'internal',
    message: expect.stringMatching(/^The 2 jobs that ran took 500 MB .* may take 300 MB \(COREBUILD_MEMORY_BYTES\)/),
  })
  leaveTwo()
  await expect.poll(() => reasons.one).toHaveLength(1)
  expect(reasons.one?.[0]?.message).toMatch(/^The job took 500 MB/)
  leaveOne()
  used = 100 * megabyte
  expect(reasons.two).toHaveLength(1)
  expect(said).toEqual([])
})

test('a job that is being ended is not told again, and none is that stays below', async () => {
  let looks = 0
  const used = [200, 400, 400, 400]
  const guard = createMemoryGuard({
    limitBytes: 300 * megabyte,
    usedBytes: async () => (used[looks++] ?? 0) * megabyte,
    say: () => undefined,
  })
  const reasons: FreeholdError[] = []
  const leave = guard.enter((reason) => reasons.push(reason))
  await expect.poll(() => looks).toBeGreaterThan(4)
  expect(reasons).toHaveLength(1)
  leave()
})

test('a look that fails is said, and the next is taken all the same', async () => {
  let looks = 0
  const said: string[] = []
  const guard = createMemoryGuard({
    limitBytes: 300 * megabyte,
    usedBytes: async () => {
      looks += 1
      if (looks === 1) throw new Error('no luck')
      return 400 * megabyte
    },
    say: (text) => said.push(text),
  })
  const reasons: FreeholdError[] = []
  const leave = guard.enter((reason) => reasons.push(reason))
  await expect.poll(() => reasons).toHaveLength(1)
  expect(said).toEqual(['Memory cannot be looked at: no luck'])
  leave()
})

test('what programs hold is seen: those that were started, theirs, and one whose parent is gone', async () => {
  const read = createMemoryReader()
  const before = await read()
  // The last one is started in the background by a shell that ends when it is told to.
  const child = spawn('sh', ['-c', '(head -c 300000000 /dev/zero; sleep 3600) | tail & read line'], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  try {
    const held = async () => (await read()) - before
    await expect.poll(held).toBeGreaterThan(150 * megabyte)
    child.stdin.end('\n')
    await once(child, 'exit')
    expect(await held()).toBeGreaterThan(150 * megabyte)
  } finally {
    killGroup(child.pid ?? 0)
  }
  await expect.poll(async () => (await read()) - before).toBeLessThan(150 * megabyte)
})

import { access, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createFakeClock } from '@freehold/reconcile'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createLog } from '../log.ts'
import { createRedactor } from '../secret.ts'
import { createUpdateLocks } from './update-locks.ts'

let directory: string
let path: string
const clock = createFakeClock()
const log = createLog({ write: () => undefined, redactor: createRedactor(), level: 'silent' })
const locksOf = () => createUpdateLocks({ directory, clock, log })
const isLocked = () =>
  access(path).then(
    () => true,
    () => false,
  )

beforeEach(async () => {
  directory = join(await mkdtemp(join(tmpdir(), 'freehold-locks-')), 'balena')
  path = join(directory, 'updates.lock')
})
afterEach(() => rm(join(directory, '..'), { recursive: true, force: true }))

test('the file is there from the first owner to the last, and nothing else is left in its folder', async () => {
  const locks = locksOf()
  await locks.take('backup', 60_000)
  await locks.take('migration', 60_000)
  expect(await readdir(directory)).toEqual(['updates.lock'])
  expect(await locks.release('backup')).toBe(true)
  expect(await isLocked()).toBe(true)
  expect(await locks.release('migration')).toBe(true)
  expect(await locks.release('migration')).toBe(false)
  expect(await readdir(directory)).toEqual([])
})

test.each(['updates.lock', 'resin-updates.lock'])(
  'where the Supervisor holds %s, taking is refused and its file stays',
  async (name) => {
    const locks = locksOf()
    await locks.take('backup', 60_000)
    await locks.release('backup')
    await writeFile(join(directory, name), '')
    await expect(locks.take('backup', 60_000)).rejects.toThrow('Another program holds the update lock')
    await locks.stop()
    await locks.adopt()
    expect(locks.owners()).toEqual([])
    expect(await readdir(directory)).toEqual([name])
  },
)

test('of many who take it at once through two agents, one agent gets it', async () => {
  const agents = [locksOf(), locksOf()]
  const tries = await Promise.allSettled(agents.map((locks, index) => locks.take(`owner-${index}`, 60_000)))
  expect(tries.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
})

test('a lease ends by itself, unless it is renewed', async () => {
  const locks = locksOf()
  await locks.take('backup', 5_000)
  await clock.advance(4_000)
  await locks.take('backup', 5_000)
  await clock.advance(4_000)
  expect(locks.owners()).toEqual(['backup'])
  let isOver = false
  void locks.ended('backup').then(() => {
    isOver = true
  })
  await clock.advance(1_100)
  await expect.poll(isLocked).toBe(false)
  await expect.poll(() => isOver).toBe(true)
  expect(locks.owners()).toEqual([])
})

test('an agent that was killed finds its owners again, each with a new lease', async () => {
  await locksOf().take('backup', 5_000)
  const next = locksOf()
  await next.adopt()
  expect(next.owners()).toEqual(['backup'])
  await next.take('migration', 60_000)
  expect(JSON.parse(await readFile(path, 'utf8')).owners).toHaveLength(2)
  await clock.advance(5_100)
  await expect.poll(() => next.owners()).toEqual(['migration'])
  await next.stop()
  expect(await isLocked()).toBe(true)
  const last = locksOf()
  await last.adopt()
  await last.release('migration')
  expect(await isLocked()).toBe(false)
})

test('at most 32 owners hold it', async () => {
  const locks = locksOf()
  for (let index = 0; index < 32; index++) await locks.take(`owner-${index}`, 60_000)
  await expect(locks.take('one-more', 60_000)).rejects.toThrow('32 owners')
  await locks.stop()
})

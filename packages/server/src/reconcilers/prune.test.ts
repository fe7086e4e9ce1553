import { sessionKind } from '@freehold/contracts'
import type { Store } from '@freehold/store'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { prune } from './prune.ts'
import { openWorld, type World } from './world.testing.ts'

let world: World

beforeEach(async () => {
  world = await openWorld()
})
afterEach(() => world.close())

const now = new Date('2030-01-01T00:00:00Z')
const hourMs = 3_600_000

/** Every third of them is still good. */
async function makeSessions(count: number): Promise<void> {
  await world.store.transaction({ type: 'system', id: 'test', name: 'test' }, async (transaction) => {
    for (let number = 0; number < count; number += 1) {
      const expiresAt = new Date(now.getTime() + (number % 3 === 0 ? hourMs : -hourMs)).toISOString()
      await transaction.create(sessionKind, { data: { userId: 'user', expiresAt, hash: `${number}`, client: '' } })
    }
  })
}

it('drops every expired session and no other, without ever holding more than a page of them', async () => {
  await makeSessions(700)
  const sizes: number[] = []
  const watched: Store = {
    ...world.store,
    async list(kind, options) {
      const page = await world.store.list(kind, options)
      if (kind.name === sessionKind.name) sizes.push(page.items.length)
      return page
    },
    async all(kind, options) {
      const every = await world.store.all(kind, options)
      if (kind.name === sessionKind.name) sizes.push(every.length)
      return every
    },
  }
  await prune(watched, { now, logKeptMs: Number.MAX_SAFE_INTEGER / 1e6, signal: new AbortController().signal })
  const left = await world.store.all(sessionKind)
  expect(left).toHaveLength(234)
  expect(left.every((session) => Date.parse(session.data.expiresAt) > now.getTime())).toBe(true)
  expect(Math.max(...sizes)).toBeLessThanOrEqual(200)
})

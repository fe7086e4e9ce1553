import { expect, test } from 'vitest'
import type { AnyResource, Api } from '../api.ts'
import { find } from './lookup.ts'
import { findNoun, listNouns } from './noun.ts'

const devices = findNoun(listNouns(), 'devices')
const fleetSize = 100_000

const idOf = (number: number) =>
  `01920000-0000-7000-8000-0000${(number * 2_654_435_761).toString(16).slice(-8).padStart(8, '0')}`

function device(id: string, name: string): AnyResource {
  const at = '2026-01-01T00:00:00.000Z'
  const state = { status: { state: 'online' }, data: { name, nodeId: `node-${id}` } }
  return { kind: 'device', id, ...state, generation: 1, version: 1, labels: {}, createdAt: at, updatedAt: at }
}

/** A server with a large fleet that answers by its indexes, and counts the rows it gave out. */
function serverWith(more: readonly AnyResource[]) {
  const all = [...Array.from({ length: fleetSize }, (_each, number) => device(idOf(number), `pi-${number}`)), ...more]
  let rows = 0
  const api = {
    call: async (_route: unknown, { query }: { query: Record<string, string> }) => {
      const items = all.filter(
        ({ id, data }) =>
          (query.name === undefined || data.name === query.name) &&
          (query.shortId === undefined || id.slice(-8) === query.shortId),
      )
      rows += items.length
      return { items, nextCursor: null }
    },
  } as unknown as Api
  return { find: (reference: string) => find(api, devices, reference), rows: () => rows }
}

test('one of a hundred thousand devices is found by its name or short id without reading the others', async () => {
  const server = serverWith([])
  expect((await server.find('pi-7')).data.name).toBe('pi-7')
  expect((await server.find(idOf(70_000).slice(-8))).data.name).toBe('pi-70000')
  expect((await server.find(idOf(70_001).slice(-8).toUpperCase())).data.name).toBe('pi-70001')
  expect(server.rows()).toBe(3)
})

test('of none, and of two with one short id, is said so', async () => {
  const twins = [
    device('01920000-0000-7000-8000-0000feedface', 'one'),
    device('01920000-0000-7000-8000-1111feedface', 'other'),
  ]
  const server = serverWith(twins)
  await expect(server.find('feedface')).rejects.toThrow('2 devices are called "feedface".')
  await expect(server.find('feedface')).rejects.toMatchObject({
    action: `Name one by its id: ${twins.map(({ id }) => `${id} (online)`).join(', ')}.`,
  })
  await expect(server.find('0badbeef')).rejects.toThrow('There is no device "0badbeef".')
  // A name that looks like a short id is a name first.
  const named = serverWith([...twins, device('01920000-0000-7000-8000-222222222222', 'feedface')])
  expect((await named.find('feedface')).id.slice(-8)).toBe('22222222')
})

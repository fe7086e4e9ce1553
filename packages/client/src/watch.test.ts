import type { ServerResponse } from 'node:http'
import fc from 'fast-check'
import { afterEach, expect, test } from 'vitest'
import { createClient } from './client.ts'
import { ApiError, isAbort } from './errors.ts'
import { eventsOf } from './stream.ts'
import { json, startAnswering } from './testing.ts'
import type { ConnectionState } from './types.ts'
import { waitMs } from './watch.ts'

const stops: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
})
const quick = { firstMs: 1, maxMs: 5, random: () => 0.5, silenceMs: 10_000 }

async function feed(answer: (attempt: number, response: ServerResponse) => void) {
  let attempt = 0
  const server = await startAnswering((request, response) => {
    if (request.url.startsWith('/api/v1/status')) return json(response, 200, { storeVersion: 40 })
    attempt += 1
    answer(attempt, response)
  })
  stops.push(server.stop)
  return server
}

function event(version: number): string {
  return `id: ${version}\ndata: ${JSON.stringify({ version, kind: 'service' })}\n\n`
}

function open(response: ServerResponse, text: string): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' }).write(text)
}

async function take(changes: AsyncIterable<{ version: number }>, count: number): Promise<number[]> {
  const versions: number[] = []
  for await (const { version } of changes) {
    versions.push(version)
    if (versions.length === count) break
  }
  return versions
}

test('a cut connection is made again after the last change, and no change comes twice', async () => {
  const server = await feed((attempt, response) => {
    if (attempt === 1) {
      open(response, `retry: 2000\n\n: hello\n\n${event(11)}${event(12)}id: 13\ndata: {"versi`)
      setImmediate(() => response.destroy())
    } else if (attempt === 2) json(response, 503, { error: { code: 'unavailable', message: 'Starting.' } })
    else open(response, `${event(12)}${event(13)}${event(14)}`)
  })
  const states: ConnectionState[] = []
  const client = createClient({ url: server.url, reconnect: quick })
  const watched = client.changes.watch({
    since: 10,
    kinds: ['service', 'rollout'],
    onConnection: (s) => states.push(s),
  })
  expect(await take(watched, 4)).toEqual([11, 12, 13, 14])
  expect(server.seen.map(({ url, headers }) => [url, headers['last-event-id']])).toEqual([
    ['/api/v1/changes?since=10&kinds=service%2Crollout', '10'],
    ['/api/v1/changes?since=12&kinds=service%2Crollout', '12'],
    ['/api/v1/changes?since=12&kinds=service%2Crollout', '12'],
  ])
  expect(states.map(({ state }) => state)).toEqual(['connected', 'disconnected', 'disconnected', 'connected'])
  expect(states[2]).toMatchObject({ error: { code: 'unavailable', message: 'Starting.' } })
})

test('without a version it begins at now, and a reconnect before the first change misses nothing', async () => {
  const server = await feed((attempt, response) => {
    if (attempt === 1) response.writeHead(200).end()
    else open(response, event(41))
  })
  const client = createClient({ url: server.url, reconnect: quick })
  expect(await take(client.changes.watch(), 1)).toEqual([41])
  expect(server.seen.map(({ url }) => url)).toEqual([
    '/api/v1/status',
    '/api/v1/changes?since=40',
    '/api/v1/changes?since=40',
  ])
})

test('a silent connection is taken for dead and made again', async () => {
  const server = await feed((attempt, response) => open(response, attempt === 1 ? ': here\n\n' : event(2)))
  const client = createClient({ url: server.url, reconnect: { ...quick, silenceMs: 40 } })
  expect(await take(client.changes.watch({ since: 1 }), 1)).toEqual([2])
})

test.each(['feed-expired', 'unauthenticated', 'forbidden'])('%s ends the watch', async (code) => {
  const server = await feed((_, response) => json(response, 410, { error: { code, message: 'No.' } }))
  const client = createClient({ url: server.url, reconnect: quick })
  await expect(take(client.changes.watch({ since: 1 }), 1)).rejects.toMatchObject({ code })
  expect(server.seen).toHaveLength(1)
})

test('feed-expired in the middle of the stream ends the watch too', async () => {
  const failure = JSON.stringify({ error: { code: 'feed-expired', message: 'Too far behind.' } })
  const server = await feed((_, response) => open(response, `${event(2)}event: error\ndata: ${failure}\n\n`))
  const client = createClient({ url: server.url, reconnect: quick })
  const error = await take(client.changes.watch({ since: 1 }), 2).catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(ApiError)
  expect(error).toMatchObject({ code: 'feed-expired', message: 'Too far behind.' })
})

test('an abort ends the watch, connected or waiting', async () => {
  for (const connects of [true, false]) {
    const abort = new AbortController()
    const server = await feed((_, response) => (connects ? open(response, ': here\n\n') : response.destroy()))
    const client = createClient({ url: server.url, reconnect: { ...quick, firstMs: 60_000, maxMs: 60_000 } })
    const onConnection = () => setImmediate(() => abort.abort())
    const error = await take(client.changes.watch({ since: 1, signal: abort.signal, onConnection }), 1).catch(
      (thrown: unknown) => thrown,
    )
    expect(isAbort(error)).toBe(true)
  }
})

test('waits double, stay within bounds and are never shorter than half', () => {
  fc.assert(
    fc.property(fc.nat(1000), fc.double({ min: 0, max: 1, noNaN: true }), (failures, chance) => {
      const wait = waitMs(failures, { firstMs: 500, maxMs: 15_000, random: () => chance })
      const longest = Math.min(15_000, 500 * 2 ** failures)
      expect(wait).toBeLessThanOrEqual(longest)
      expect(wait).toBeGreaterThanOrEqual(longest / 2)
    }),
  )
})

test('events are read as the standard says', async () => {
  async function* lines() {
    yield* [
      'data: a',
      'data:b',
      ':comment',
      'data',
      '',
      'id: 7',
      'event: x',
      'data:  two spaces',
      '',
      'event: y',
      '',
      'data: c',
      '',
    ]
  }
  const events = []
  for await (const read of eventsOf(lines())) events.push(read)
  expect(events).toEqual([
    { type: 'message', id: '', data: 'a\nb\n' },
    { type: 'x', id: '7', data: ' two spaces' },
    { type: 'message', id: '7', data: 'c' },
  ])
})

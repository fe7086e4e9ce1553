import { once } from 'node:events'
import { createServer, request, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { FreeholdError } from '@freehold/contracts'
import { afterEach, expect, test } from 'vitest'
import { mapError } from './errors.ts'
import { createTextMemory, sendStream } from './stream.ts'

let server: Server | undefined
afterEach(() => {
  server?.closeAllConnections()
  server?.close()
})

async function serve(handle: (response: ServerResponse) => Promise<void>): Promise<string> {
  const made = createServer((_, response) => void handle(response))
  server = made
  await new Promise<void>((resolve) => made.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(made.address() as AddressInfo).port}/`
}

function streamed(
  response: ServerResponse,
  items: AsyncIterable<unknown>,
  options: Partial<Parameters<typeof sendStream>[0]> = {},
) {
  return sendStream({
    response,
    format: 'ndjson',
    items,
    stop: new AbortController(),
    stillAllowed: async () => {},
    onRightsChange: () => () => {},
    mapError: (error) => mapError(error, 'test'),
    textOf: JSON.stringify,
    ...options,
  })
}

test('lines come one by one, and a failure in between is the last line', async () => {
  async function* items() {
    yield { n: 1 }
    throw new FreeholdError('agent-offline', 'The agent went away.')
  }
  const url = await serve((response) => streamed(response, items()))
  const lines = (await (await fetch(url)).text())
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(lines).toEqual([{ n: 1 }, { error: expect.objectContaining({ code: 'agent-offline', requestId: 'test' }) }])
})

test('an unknown failure shows nothing of itself', async () => {
  // biome-ignore lint/correctness/useYield: it fails before its first item.
  async function* items(): AsyncGenerator<unknown> {
    throw new Error('the password is hunter2')
  }
  const url = await serve((response) => streamed(response, items(), { format: 'sse' }))
  const text = await (await fetch(url)).text()
  expect(text).toContain('event: error')
  expect(text).not.toContain('hunter2')
})

test('a client that does not read holds the items back instead of filling the memory', async () => {
  let made = 0
  async function* items() {
    for (;;) {
      made += 1
      yield { text: 'x'.repeat(10_000) }
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  const stop = new AbortController()
  const ended = Promise.withResolvers<void>()
  const blocked = Promise.withResolvers<void>()
  const url = await serve(async (response) => {
    const look = setInterval(() => response.writableNeedDrain && blocked.resolve(), 5)
    await streamed(response, items(), { stop })
    clearInterval(look)
    ended.resolve()
  })
  const call = request(url)
  call.on('error', () => {})
  call.end()
  const [answer] = await once(call, 'response')
  answer.pause()
  await blocked.promise
  const before = made
  for (let turn = 0; turn < 200; turn += 1) await new Promise((resolve) => setImmediate(resolve))
  expect(made - before).toBeLessThan(3)
  call.destroy()
  stop.abort()
  await ended.promise
})

test('whoever makes the items is told when the stream ends', async () => {
  const stop = new AbortController()
  let cleanedUp = false
  async function* items() {
    try {
      yield { n: 1 }
      await once(stop.signal, 'abort')
    } finally {
      cleanedUp = true
    }
  }
  const ended = Promise.withResolvers<void>()
  const url = await serve(async (response) => {
    response.once('close', () => stop.abort())
    await streamed(response, items(), { stop })
    ended.resolve()
  })
  const response = await fetch(url)
  await response.body?.cancel()
  await ended.promise
  expect(cleanedUp).toBe(true)
})

test('the text of one object is made once', () => {
  const textOf = createTextMemory()
  let asked = 0
  const item = {
    toJSON() {
      asked += 1
      return { n: 1 }
    },
  }
  expect([textOf(item), textOf(item)]).toEqual(['{"n":1}', '{"n":1}'])
  expect(asked).toBe(1)
  expect(textOf('plain')).toBe('"plain"')
})

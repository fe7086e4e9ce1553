import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { workloadOf } from '../simulation/desired.ts'
import { wantedSpec } from '../swarm/spec.ts'
import { createEngineClient } from './client.ts'
import { readEvents, readFrames, readLogLines } from './frames.ts'

const signal = new AbortController().signal
let directory: string
let server: Server
let address: string
let answer: (request: IncomingMessage, response: ServerResponse) => void
let requests: { path: string; auth: string | undefined }[]

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'freehold-engine-'))
  address = `unix://${join(directory, 'docker.sock')}`
  requests = []
  answer = (_, response) => response.end('[]')
  server = createServer((request, response) => {
    requests.push({ path: request.url ?? '', auth: request.headers['x-registry-auth'] as string | undefined })
    if (request.url === '/version') return response.end('{"ApiVersion":"1.44"}')
    answer(request, response)
  })
  await new Promise<void>((resolve) => server.listen(join(directory, 'docker.sock'), resolve))
})
afterEach(async () => {
  server.closeAllConnections()
  server.close()
  await rm(directory, { recursive: true })
})

test('the engine is asked for its version once and spoken to in it', async () => {
  const engine = createEngineClient({ address })
  await engine.nodes(signal)
  await engine.services(signal)
  expect(requests.map(({ path }) => path)).toEqual(['/version', '/v1.44/nodes', '/v1.44/services'])
})

test('credentials travel in the header Docker reads, in padded URL-safe base64', async () => {
  const engine = createEngineClient({ address })
  const spec = wantedSpec(workloadOf('web', 1), { clusterId: 'c', networkId: 'n' })
  const auth = { host: '127.0.0.1:5000', username: 'node', password: 'ÿ?>~' }
  await engine.createService({ spec, registryAuth: auth }, signal)
  const header = requests.at(-1)?.auth ?? ''
  expect(header).toMatch(/^[A-Za-z0-9_-]+=*$/)
  expect(header.length % 4).toBe(0)
  expect(JSON.parse(Buffer.from(header, 'base64url').toString())).toEqual({
    username: 'node',
    password: 'ÿ?>~',
    serveraddress: '127.0.0.1:5000',
  })
})

test('an engine that refuses is quoted, one that is gone or slow is named', async () => {
  const engine = createEngineClient({ address, timeLimitMs: 300 })
  answer = (_, response) => response.writeHead(503).end('{"message":"The swarm does not have a leader."}')
  await expect(engine.nodes(signal)).rejects.toMatchObject({
    status: 503,
    message: 'The swarm does not have a leader.',
  })
  answer = () => undefined
  await expect(engine.nodes(signal)).rejects.toMatchObject({ code: 'engine-unavailable' })
  const missing = createEngineClient({ address: `unix://${directory}/none.sock` })
  await expect(missing.nodes(signal)).rejects.toThrow('there is no such socket')
})

test('an engine too old to work with is refused with both versions', async () => {
  server.removeAllListeners('request')
  server.on('request', (_, response) => response.end('{"ApiVersion":"1.24"}'))
  await expect(createEngineClient({ address }).nodes(signal)).rejects.toThrow(/1\.24.*1\.40/)
})

test('a call ends when its signal does', async () => {
  answer = () => undefined
  const abort = new AbortController()
  const call = createEngineClient({ address }).nodes(abort.signal)
  abort.abort(new Error('enough'))
  await expect(call).rejects.toThrow('enough')
})

test('frames come out whole however the network cuts them', async () => {
  const frames = fc.array(fc.record({ isError: fc.boolean(), text: fc.string({ maxLength: 40 }) }), { maxLength: 8 })
  await fc.assert(
    fc.asyncProperty(frames, fc.array(fc.integer({ min: 1, max: 9 })), async (written, cuts) => {
      const bytes = Buffer.concat(written.map(({ isError, text }) => frameOf(isError ? 2 : 1, text)))
      const read: { isError: boolean; text: string }[] = []
      for await (const { stream, payload } of readFrames(pieces(bytes, cuts))) {
        read.push({ isError: stream === 'stderr', text: payload.toString() })
      }
      expect(read).toEqual(written)
    }),
  )
})

test('a frame that is too long is cut and the next one is found', async () => {
  const bytes = Buffer.concat([frameOf(1, 'x'.repeat(1000)), frameOf(2, 'next')])
  const read: string[] = []
  for await (const { payload } of readFrames(pieces(bytes, [7, 300]), 100)) read.push(payload.toString())
  expect(read).toEqual(['x'.repeat(100), 'next'])
})

test('a line of a service log says when, where and which container', async () => {
  const text = '2026-01-02T03:04:05.000000006Z com.docker.swarm.node.id=n1,com.docker.swarm.task.id=t1 hello, world\n'
  const lines = []
  for await (const line of readLogLines(pieces(frameOf(2, text), []), { details: true })) lines.push(line)
  const at = '2026-01-02T03:04:05.000000006Z'
  expect(lines).toEqual([{ at, stream: 'stderr', taskId: 't1', nodeId: 'n1', line: 'hello, world' }])
})

test('events are read as they come', async () => {
  const read = []
  const bytes = Buffer.from('{"Type":"node","Action":"update"}\n{"Type":"service","Action":"create"}\n')
  for await (const event of readEvents(pieces(bytes, [5]))) read.push(event.Type)
  expect(read).toEqual(['node', 'service'])
})

function frameOf(stream: number, text: string): Buffer {
  const payload = Buffer.from(text)
  const head = Buffer.alloc(8)
  head[0] = stream
  head.writeUInt32BE(payload.length, 4)
  return Buffer.concat([head, payload])
}

async function* pieces(bytes: Buffer, cuts: number[]): AsyncGenerator<Buffer> {
  let from = 0
  for (const length of cuts) {
    if (from >= bytes.length) return
    yield bytes.subarray(from, from + length)
    from += length
  }
  yield bytes.subarray(from)
}

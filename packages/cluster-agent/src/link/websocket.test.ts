import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { agentLinkPath } from '@freehold/contracts'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { WebSocketServer } from 'ws'
import { createWebSocketTransport } from './websocket.ts'

const signal = new AbortController().signal
const request = { jumpCode: 'a-secret-jump-code', publicKey: 'key', name: 'node', swarmNodeId: null }
let server: Server
let url: string
let answer: { status: number; body: string }

beforeEach(async () => {
  server = createServer((_, response) => response.writeHead(answer.status).end(answer.body))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterEach(() => {
  server.closeAllConnections()
  server.close()
})

test("a refusal at enrolment comes through with the control plane's code and sentence", async () => {
  answer = { status: 401, body: '{"error":{"code":"wrong-credentials","message":"This code was used up."}}' }
  const enrolment = createWebSocketTransport({ url }).enrol(request, signal)
  await expect(enrolment).rejects.toMatchObject({ code: 'wrong-credentials', message: 'This code was used up.' })
})

test('something else at that address is called so, and may be tried again', async () => {
  answer = { status: 404, body: '<html>' }
  const enrolment = createWebSocketTransport({ url }).enrol(request, signal)
  await expect(enrolment).rejects.toMatchObject({
    code: 'unavailable',
    message: expect.stringContaining('CLOUDLY_URL'),
  })
})

test('an address nobody listens at is named, without the code', async () => {
  const transport = createWebSocketTransport({ url: 'http://127.0.0.1:1' })
  const error = await transport.enrol(request, signal).catch((error: Error) => error.message)
  expect(error).toContain('http://127.0.0.1:1 cannot be reached')
  expect(error).not.toContain(request.jumpCode)
  const handlers = { onText: () => undefined, onClose: () => undefined }
  await expect(transport.connect(handlers, signal)).rejects.toThrow('cannot be reached')
})

test('messages go both ways, and the end is told once', async () => {
  const heard: string[] = []
  const sockets = new WebSocketServer({ server, path: agentLinkPath })
  sockets.on('connection', (socket) => {
    socket.on('message', (data) => {
      heard.push(data.toString())
      socket.send('{"type":"pong"}')
      socket.close(1000, 'enough')
    })
  })
  const texts: string[] = []
  const reason = await new Promise<string>((onClose) => {
    const handlers = { onText: (text: string) => void texts.push(text), onClose }
    createWebSocketTransport({ url })
      .connect(handlers, signal)
      .then((connection) => connection.send({ type: 'ping' }))
  })
  expect({ heard, texts, reason }).toEqual({ heard: ['{"type":"ping"}'], texts: ['{"type":"pong"}'], reason: 'enough' })
})

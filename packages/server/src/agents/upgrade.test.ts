import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { agentFrameLimitBytes, agentLinkPath, type ServerMessage } from '@freehold/contracts'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { openWorld, until, type World } from '../reconcilers/world.testing.ts'
import { createAgentUpgrade } from './upgrade.ts'

let world: World
let address: string
const closing: (() => void)[] = []

beforeEach(async () => {
  world = await openWorld()
  const upgrade = createAgentUpgrade({ accept: (transport) => world.hub.accept(transport) })
  const server = createServer()
  server.on('upgrade', (request, socket, head) => upgrade.handle(request, socket, head))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  address = `ws://127.0.0.1:${(server.address() as AddressInfo).port}${agentLinkPath}`
  closing.push(() => {
    upgrade.close()
    server.close()
  })
})
afterEach(async () => {
  for (const close of closing.splice(0)) close()
  await world.close()
})

function dial() {
  const socket = new WebSocket(address, { maxPayload: agentFrameLimitBytes })
  const heard: ServerMessage[] = []
  let closedWith: number | undefined
  socket.on('message', (text) => heard.push(JSON.parse(text.toString()) as ServerMessage))
  socket.on('close', (code) => {
    closedWith = code
  })
  return { socket, heard, closedWith: () => closedWith }
}
const challenged = (heard: ServerMessage[]) =>
  until(
    async () => heard.at(0)?.type,
    (type) => type === 'challenge',
  )

it('challenges whoever dials, with another nonce each time', async () => {
  const [one, two] = [dial(), dial()]
  await challenged(one.heard)
  await challenged(two.heard)
  expect(one.heard).not.toEqual(two.heard)
})

it('says why it refuses before it closes', async () => {
  const { socket, heard, closedWith } = dial()
  await challenged(heard)
  const node = { swarmNodeId: null, role: null, leader: false, hostname: 'x', address: null, engineVersion: null }
  const machine = { operatingSystem: 'x', architecture: 'x', cpuCores: 1, memoryBytes: 1 }
  const hello = {
    type: 'hello',
    protocol: 1,
    nodeId: '01900000-0000-7000-8000-0000000000aa',
    signature: 'x',
    agentVersion: 'x',
  }
  socket.send(JSON.stringify({ ...hello, at: new Date().toISOString(), node: { ...node, ...machine }, generation: 0 }))
  await until(
    async () => closedWith(),
    (code) => code === 1000,
  )
  expect(heard.at(-1)).toMatchObject({ type: 'refused', reason: 'unknown-node', final: true })
})

it('ends a link that sends a frame above the limit, binary, or nonsense', async () => {
  for (const [frame, code] of [
    ['x'.repeat(agentFrameLimitBytes + 1), 1009],
    [Buffer.from([1, 2, 3]), 1003],
    ['{"type":"nonsense"}', 1000],
  ] as const) {
    const { socket, heard, closedWith } = dial()
    await challenged(heard)
    socket.send(frame)
    await until(
      async () => closedWith(),
      (seen) => seen === code || seen === 1006,
    )
  }
})

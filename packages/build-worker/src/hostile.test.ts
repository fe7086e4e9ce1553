import type { AddressInfo } from 'node:net'
import { createServer, type Socket } from 'node:net'
import { expect, test } from 'vitest'
import { playControlPlane, post, sshKey, startWorker, uploadToken } from './worker.testing.ts'

test('a base whose server asks for another protocol ends the job, and the place of it is free again', async () => {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => {}))
    socket.once('data', () =>
      socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n'),
    )
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  await using cloud = await playControlPlane()
  await using worker = await startWorker({ COREBUILD_ALLOW_PRIVATE_SOURCES: 'on' })
  const answer = await post(worker.url, {
    job: {
      id: 'odd',
      architecture: 'rpi',
      imageKind: 'balena-raw',
      cloudlyUrl: cloud.url,
      provisioningToken: 'token-of-a-device',
      sshPublicKey: sshKey,
      sourceImageUrl: `http://127.0.0.1:${port}/base.img`,
      sourceImageSha256: 'a'.repeat(64),
      upload: { url: `${cloud.url}/upload`, token: uploadToken },
    },
  })
  expect(answer.result).toMatchObject({ success: false, code: 'upstream-failed' })
  expect(await worker.leftovers()).toEqual([])
  for (const socket of sockets) socket.destroy()
  server.close()
}, 60_000)

import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { type AddressInfo, connect } from 'node:net'
import { join } from 'node:path'
import { createServer } from 'node:tls'
import { temporaryFolder, waitFor } from '../../test/system/lab/index.ts'
import { authority, startFakeSupervisor, trusted } from '../../test/system/played-device.testing.ts'
import { type ControlPlane, type Running, startAlone } from './control-plane.ts'

/**
 * A device agent on a copy of Node of its own, with everything configured: the control plane behind TLS, a played
 * Supervisor, the local API. Resolves once it is online.
 */
export async function startDeviceAgent(controlPlane: ControlPlane): Promise<Running> {
  const { client, url } = controlPlane
  const stack = new AsyncDisposableStack()
  try {
    const folder = await temporaryFolder('bench')
    const supervisor = await startFakeSupervisor({ lockDirectory: folder.path })
    stack.defer(() => supervisor.stop())
    const front = createServer(trusted, (socket) => {
      const behind = connect(Number(new URL(url).port), '127.0.0.1')
      const end = () => {
        socket.destroy()
        behind.destroy()
      }
      for (const side of [socket, behind]) side.on('error', end).on('close', end)
      socket.pipe(behind).pipe(socket)
    })
    front.listen(0, '127.0.0.1')
    await once(front, 'listening')
    stack.defer(() => void front.close())
    const { joinToken } = await client.joinTokens.create({ body: { data: { name: 'bench', uses: 1 } } })
    const ca = join(folder.path, 'authority.pem')
    await writeFile(ca, authority)
    const running = await startAlone(folder, 'packages/device-agent/src/main.ts', {
      BASEOS_CLOUDLY_URL: `https://localhost:${(front.address() as AddressInfo).port}`,
      BASEOS_JOIN_TOKEN: joinToken,
      BASEOS_STATE_PATH: join(folder.path, 'state.json'),
      BASEOS_LOCK_DIR: folder.path,
      BASEOS_LOCAL_API: `unix://${folder.path}/agent.sock`,
      BALENA_SUPERVISOR_ADDRESS: supervisor.url.href,
      BALENA_SUPERVISOR_API_KEY: supervisor.key,
      NODE_EXTRA_CA_CERTS: ca,
    })
    stack.defer(() => running.stop())
    const isOnline = async () => (await client.devices.list({ query: {} })).items[0]?.status.state === 'online'
    await waitFor(isOnline, { what: `the device agent\n${running.program.output()}` })
    const rest = stack.move()
    return { ...running, stop: () => rest.disposeAsync() }
  } catch (error) {
    await stack.disposeAsync()
    throw error
  }
}

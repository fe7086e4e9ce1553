import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Client, createClient } from '@freehold/client'
import {
  type Dockerd,
  freePort,
  labAdministrator,
  type Program,
  startProgram,
  type TemporaryFolder,
  temporaryFolder,
  waitFor,
} from '../../test/system/lab/index.ts'

/** A control plane or an agent as a process whose id the bench knows. */
export interface Running {
  program: Program
  /** The copy of Node it runs. */
  node: string
  stop(): Promise<void>
}

export interface ControlPlane extends Running {
  url: string
  dataDirectory: string
  /** Signed in as the administrator. */
  client: Client
}

/**
 * Starts a control plane without a local cluster. Each process of the bench runs a Node of its own (a copy of the
 * program), because memory of a program that several processes run would be counted in parts.
 */
export async function startControlPlane(): Promise<ControlPlane> {
  const folder = await temporaryFolder('bench')
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const { username, password } = labAdministrator()
  const dataDirectory = join(folder.path, 'data')
  const running = await startAlone(folder, 'packages/server/src/main.ts', {
    FREEHOLD_DATA_DIR: dataDirectory,
    SERVEZONE_PORT: String(port),
    FREEHOLD_LOCAL_CLUSTER: 'off',
    SERVEZONE_ADMINACCOUNT: `${username}:${password}`,
  })
  try {
    const anyone = createClient({ url })
    await waitFor(async () => (await anyone.status.health()).ok, {
      what: () => `the control plane\n${running.program.output()}`,
    })
    const { token } = await anyone.auth.login({ body: { username, password } })
    return { ...running, url, dataDirectory, client: createClient({ url, token }) }
  } catch (error) {
    await running.stop()
    throw error
  }
}

/**
 * Makes a cluster of this engine and waits until its agent has said how it stands. `node`: the program of another
 * process to share, as an agent that `npm start` runs shares the control plane's; without it a copy of its own.
 */
export async function startAgent(
  controlPlane: ControlPlane,
  dockerd: Dockerd,
  options: { cluster?: string; node?: string } = {},
): Promise<Running & { clusterId: string }> {
  const { client, url } = controlPlane
  const cluster = await client.clusters.create({ body: { data: { name: options.cluster ?? 'bench' } } })
  const { jumpCode } = await client.enrolments.create({ body: { data: { clusterId: cluster.id } } })
  const folder = await temporaryFolder('bench')
  const running = await startAlone(
    folder,
    'packages/cluster-agent/src/main.ts',
    {
      CLOUDLY_URL: url,
      JUMPCODE: jumpCode,
      DOCKER_HOST: dockerd.dockerHost,
      FREEHOLD_AGENT_DIR: join(folder.path, 'agent'),
    },
    options.node,
  )
  try {
    const state = async () => (await client.clusters.get({ params: { id: cluster.id } })).status.state
    await waitFor(async () => (await state()) === 'online', { what: () => `the agent\n${running.program.output()}` })
    return { ...running, clusterId: cluster.id }
  } catch (error) {
    const output = running.program.output()
    await running.stop()
    throw new Error(`The agent did not connect:\n${output}`, { cause: error })
  }
}

/** Starts an entry of ours; `shared`: on that program, else on a copy of Node that nothing else runs. */
export async function startAlone(
  folder: TemporaryFolder,
  entry: string,
  env: NodeJS.ProcessEnv,
  shared?: string,
): Promise<Running> {
  const node = shared ?? join(folder.path, 'node')
  if (shared === undefined) await copyFile(process.execPath, node)
  const program = await startProgram([node, entry], { env })
  const stop = async () => {
    await program.stop()
    await folder.remove()
  }
  return { program, node, stop }
}

import { unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  findPart,
  freePort,
  labAdministrator,
  run,
  startProgram,
  temporaryFolder,
  waitFor,
} from '../../test/system/lab/index.ts'
import { startControlPlane } from './control-plane.ts'
import type { Registry } from './registry-client.ts'

export interface Running extends Registry {
  stop(): Promise<void>
}

/** A control plane of its own, spoken to as `docker` does: with a bearer token got for the repository. */
export async function startOurs(): Promise<Running> {
  const { url, program, dataDirectory, stop } = await startControlPlane()
  const { username, password } = labAdministrator()
  const basic = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
  return {
    name: 'Freehold',
    url,
    pid: program.pid,
    stop,
    removeBytes: ({ digest }) => unlink(join(dataDirectory, 'blobs/blobs', pathOf(digest))),
    async authorize(repository) {
      const query = new URLSearchParams({ service: 'freehold', scope: `repository:${repository}:pull,push` })
      const response = await fetch(`${url}/v2/token?${query}`, { headers: { authorization: basic } })
      const { token } = (await response.json()) as { token?: string }
      if (token === undefined) throw new Error(`The bench got no token: status ${response.status}.`)
      return { authorization: `Bearer ${token}` }
    },
  }
}

/** Debian's `docker-registry` on a folder of its own beside ours, open to everyone; undefined where it is not installed. */
export async function startDockerRegistry(): Promise<Running | undefined> {
  const path = findPart('docker-registry')
  if (path === undefined) return undefined
  const version = /\sv?(\d[\w.+~-]*)\s*$/.exec(await run([path, '--version']))?.[1] ?? ''
  const folder = await temporaryFolder('bench')
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const config = join(folder.path, 'config.yml')
  await writeFile(config, configOf({ directory: join(folder.path, 'data'), port }))
  const program = await startProgram([path, 'serve', config], { env: { OTEL_TRACES_EXPORTER: 'none' } })
  const stop = async () => {
    await program.stop()
    await folder.remove()
  }
  try {
    const answers = () =>
      fetch(`${url}/v2/`).then(
        ({ ok }) => ok,
        () => false,
      )
    await waitFor(answers, { what: () => `docker-registry\n${program.output()}` })
  } catch (error) {
    await stop()
    throw error
  }
  return {
    name: `docker-registry ${version}`.trim(),
    url,
    pid: program.pid,
    stop,
    removeBytes: ({ digest }) => unlink(join(folder.path, 'data/docker/registry/v2/blobs', pathOf(digest), 'data')),
    authorize: async () => ({}),
  }
}

/** Where both registries keep a blob below the folder of all blobs. */
function pathOf(digest: string): string {
  const [algorithm = '', hex = ''] = digest.split(':')
  return join(algorithm, hex.slice(0, 2), hex)
}

/** As Debian's package configures it (descriptors cached in memory), without access rules and logging less than we do. */
function configOf({ directory, port }: { directory: string; port: number }): string {
  return `version: 0.1
log:
  level: error
  accesslog:
    disabled: true
storage:
  cache:
    blobdescriptor: inmemory
  filesystem:
    rootdirectory: ${directory}
http:
  addr: 127.0.0.1:${port}
`
}

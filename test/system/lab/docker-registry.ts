import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { findPart, requireParts } from './parts.ts'
import { type Program, startProgram } from './process.ts'
import { freePort, temporaryFolder, waitFor } from './wait.ts'

/** Docker's own registry (distribution) with Basic credentials, on the loopback. */
export interface DockerRegistry {
  url: string
  /** Host and port, as images name it. */
  host: string
  user: { username: string; password: string }
  logs(): string
  /** KILL; `start` brings it back with what it held. */
  kill9(): Promise<void>
  start(): Promise<void>
  stop(): Promise<void>
}

const user = { username: 'robot', password: 'a-password-of-the-lab' }
/** bcrypt of that password, the one form this registry reads. */
const passwordHash = '$2y$05$rha7rgm/UfFhzB7HED.wQe6tREefozGxBGY6oJqmNuuqosC9dVJGW'

/** Starts Debian's `docker-registry` on a free port and waits until it asks for credentials. */
export async function startDockerRegistry(): Promise<DockerRegistry> {
  requireParts(['docker-registry'])
  const folder = await temporaryFolder('docker-registry')
  const host = `127.0.0.1:${await freePort()}`
  const url = `http://${host}`
  await writeFile(join(folder.path, 'htpasswd'), `${user.username}:${passwordHash}\n`, { mode: 0o600 })
  const configuration = {
    version: 0.1,
    log: { level: 'info', accesslog: { disabled: false } },
    storage: { filesystem: { rootdirectory: join(folder.path, 'data') }, delete: { enabled: true } },
    http: { addr: host },
    auth: { htpasswd: { realm: 'lab', path: join(folder.path, 'htpasswd') } },
  }
  const path = join(folder.path, 'config.yml')
  // JSON is YAML too.
  await writeFile(path, JSON.stringify(configuration))
  let program: Program | undefined
  const registry: DockerRegistry = {
    url,
    host,
    user,
    logs: () => program?.output() ?? '',
    async kill9() {
      program?.signal('SIGKILL')
      await waitFor(() => program?.ended(), { what: 'the killed registry to be gone' })
    },
    async start() {
      program = await startProgram([findPart('docker-registry') ?? '', 'serve', path])
      await waitFor(async () => (await fetch(`${url}/v2/`)).status === 401, {
        what: () => `docker-registry to ask who comes\n${program?.output().slice(-2_000)}`,
      })
    },
    async stop() {
      await program?.stop()
      await folder.remove()
    },
  }
  await registry.start()
  return registry
}

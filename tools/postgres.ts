import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface RunningPostgres {
  url: string
  /** As in the data folder: `15`. */
  version: string
  /** Ends the server and removes its files. */
  stop(): Promise<void>
}

const installations = '/usr/lib/postgresql'
const startMs = 60_000
const hint = 'install it (apt-get install postgresql), or set FREEHOLD_POSTGRES_BIN to the folder of its programs'

/**
 * Starts a throw-away PostgreSQL cluster in a temporary folder on a free port of the loopback, with fsync on, for tests
 * and measurements. Where PostgreSQL is not installed it answers why it skipped; with FREEHOLD_REQUIRE_POSTGRES=1 it throws.
 */
export async function startPostgres(): Promise<RunningPostgres | { skipped: string }> {
  const bin = findPrograms()
  const account = bin === undefined ? undefined : findAccount()
  if (bin === undefined || account === undefined) {
    const reason =
      bin === undefined ? `PostgreSQL is not installed: ${hint}.` : 'There is no user postgres to run it as.'
    if (process.env.FREEHOLD_REQUIRE_POSTGRES === '1') throw new Error(reason)
    return { skipped: reason }
  }
  const folder = mkdtempSync(join(tmpdir(), 'freehold-postgres-'))
  if (account.uid !== undefined && account.gid !== undefined) chownSync(folder, account.uid, account.gid)
  try {
    const data = join(folder, 'data')
    await run(
      join(bin, 'initdb'),
      ['-D', data, '-U', 'freehold', '-A', 'trust', '-E', 'UTF8', '--no-locale', '--no-sync'],
      account,
    )
    const port = await freePort()
    const server = startServer(join(bin, 'postgres'), { data, folder, port, account })
    await ready(join(bin, 'pg_isready'), port, server)
    return {
      url: `postgres://freehold@127.0.0.1:${port}/postgres`,
      version: readFileSync(join(data, 'PG_VERSION'), 'utf8').trim(),
      async stop() {
        await stopServer(server.process)
        rmSync(folder, { recursive: true, force: true })
      },
    }
  } catch (error) {
    rmSync(folder, { recursive: true, force: true })
    throw error
  }
}

interface Account {
  uid?: number
  gid?: number
}

function findPrograms(): string | undefined {
  const given = process.env.FREEHOLD_POSTGRES_BIN
  if (given) return given
  const versions = existsSync(installations) ? readdirSync(installations) : []
  return versions
    .sort((a, b) => Number(b) - Number(a))
    .map((version) => join(installations, version, 'bin'))
    .find((bin) => existsSync(join(bin, 'initdb')))
}

/** PostgreSQL refuses to run as root, so root lends it the account that Debian made for it. */
function findAccount(): Account | undefined {
  if (process.getuid?.() !== 0) return {}
  const line = readFileSync('/etc/passwd', 'utf8').match(/^postgres:[^:]*:(\d+):(\d+):/m)
  return line ? { uid: Number(line[1]), gid: Number(line[2]) } : undefined
}

function startServer(program: string, options: { data: string; folder: string; port: number; account: Account }) {
  const settings = {
    listen_addresses: '127.0.0.1',
    port: options.port,
    unix_socket_directories: options.folder,
    fsync: 'on',
  }
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const child = spawn(program, ['-D', options.data, ...flags], {
    ...options.account,
    cwd: options.folder,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const endWithUs = () => child.kill('SIGINT')
  process.once('exit', endWithUs)
  child.once('exit', () => process.off('exit', endWithUs))
  const output = { text: '' }
  child.stderr.on('data', (chunk: Buffer) => {
    output.text = (output.text + chunk).slice(-4000)
  })
  return { process: child, output }
}

async function ready(program: string, port: number, server: ReturnType<typeof startServer>): Promise<void> {
  const endMs = Date.now() + startMs
  while (server.process.exitCode === null && Date.now() < endMs) {
    const check = spawn(program, ['-h', '127.0.0.1', '-p', String(port), '-t', '5'], { stdio: 'ignore' })
    const [code] = await once(check, 'exit')
    if (code === 0) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  await stopServer(server.process)
  throw new Error(`PostgreSQL did not start:\n${server.output.text}`)
}

/** SIGINT is PostgreSQL's fast shutdown: sessions are ended, then it exits. */
async function stopServer(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGINT')
  await exited
}

async function run(program: string, args: string[], account: Account): Promise<void> {
  const child = spawn(program, args, { ...account, cwd: '/', stdio: ['ignore', 'ignore', 'pipe'] })
  let output = ''
  child.stderr.on('data', (chunk: Buffer) => {
    output += chunk
  })
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`${program} failed with code ${code}:\n${output}`)
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('The system gave no free port.')
  return address.port
}

import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { accessSync, constants, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../test/system/lab/wait.ts'

export interface RunningObjectStore {
  /** `http://127.0.0.1:…`; it answers under `localhost` as well. */
  endpoint: string
  port: number
  accessKey: string
  secretKey: string
  /** Runs `radosgw-admin` and answers what it printed. */
  administer(...args: string[]): Promise<string>
  /** Ends the gateway alone, at once; its data stays. */
  killGateway(): Promise<void>
  startGateway(): Promise<void>
  /** Ends everything and removes its files. */
  stop(): Promise<void>
}

const programs = ['ceph', 'ceph-mon', 'ceph-osd', 'monmaptool', 'radosgw', 'radosgw-admin']
const hint = 'install it: apt-get install --no-install-recommends radosgw ceph-mon ceph-osd ceph-common'
const startMs = 60_000
const stopMs = 20_000
const path = [process.env.PATH ?? '', '/usr/sbin', '/sbin'].join(delimiter)
const user = { accessKey: 'LABACCESSKEY', secretKey: 'labsecretkeylabsecretkey' }

/**
 * Starts a throw-away Ceph with its S3 gateway (one monitor, one store in memory, one RADOS Gateway) in a temporary
 * folder on free ports of the loopback, for tests and measurements. Where Ceph is not installed it answers why it
 * skipped; with FREEHOLD_REQUIRE_S3=1 it throws.
 */
export async function startObjectStore(): Promise<RunningObjectStore | { skipped: string }> {
  const missing = programs.filter((program) => !isInstalled(program))
  if (missing.length > 0) {
    const reason = `The Ceph object gateway is not installed (no ${missing.join(', ')}): ${hint}.`
    if (process.env.FREEHOLD_REQUIRE_S3 === '1') throw new Error(reason)
    return { skipped: reason }
  }
  const folder = mkdtempSync(join(tmpdir(), 'freehold-ceph-'))
  const ceph = new Ceph(folder)
  try {
    await ceph.start()
  } catch (error) {
    await ceph.stop()
    throw error
  }
  const { port } = ceph
  return {
    ...user,
    endpoint: `http://127.0.0.1:${port}`,
    port,
    administer: (...args) => ceph.administer(...args),
    killGateway: () => ceph.killGateway(),
    startGateway: () => ceph.startGateway(),
    stop: () => ceph.stop(),
  }
}

class Ceph {
  port = 0
  readonly #folder: string
  readonly #running = new Map<string, ChildProcess>()

  constructor(folder: string) {
    this.#folder = folder
  }

  async start(): Promise<void> {
    for (const name of ['mon', 'osd', 'run', 'log', 'rgw']) mkdirSync(join(this.#folder, name))
    this.port = await freePort()
    const monitorPort = await freePort()
    const cluster = randomUUID()
    const disk = randomUUID()
    const text = configuration({ folder: this.#folder, cluster, monitorPort, port: this.port })
    writeFileSync(join(this.#folder, 'ceph.conf'), text)
    const map = join(this.#folder, 'monmap')
    await this.#run('monmaptool', '--create', '--fsid', cluster, '--addv', 'a', `[v2:127.0.0.1:${monitorPort}]`, map)
    await this.#run('ceph-mon', '-i', 'a', '--mkfs', '--monmap', map)
    this.#spawn('ceph-mon', '-i', 'a', '-f')
    // It returns as soon as the monitor decides by itself.
    await this.#run('ceph', 'osd', 'new', disk)
    await this.#run('ceph-osd', '-i', '0', '--mkfs', '--osd-uuid', disk)
    this.#spawn('ceph-osd', '-i', '0', '-f')
    await this.startGateway()
    await this.administer(
      ...['user', 'create', '--uid', 'lab', '--display-name', 'lab'],
      ...['--access-key', user.accessKey, '--secret-key', user.secretKey],
    )
  }

  administer(...args: string[]): Promise<string> {
    return this.#run('radosgw-admin', '-n', 'client.adm', ...args)
  }

  async startGateway(): Promise<void> {
    const gateway = this.#spawn('radosgw', '-f', '-n', 'client.rgw')
    const endMs = Date.now() + startMs
    while (!(await this.#answers())) {
      if (gateway.exitCode !== null || Date.now() > endMs) {
        throw new Error(`The S3 gateway did not start:\n${this.#logOf('radosgw')}`)
      }
      await sleep(20)
    }
  }

  async killGateway(): Promise<void> {
    const gateway = this.#running.get('radosgw')
    if (gateway !== undefined) await end(gateway, 'SIGKILL')
  }

  async stop(): Promise<void> {
    // Nothing of it is kept, and the store waits for seconds when its monitor goes first.
    for (const name of ['radosgw', 'ceph-osd', 'ceph-mon']) {
      const child = this.#running.get(name)
      if (child !== undefined) await end(child, 'SIGKILL')
    }
    rmSync(this.#folder, { recursive: true, force: true })
  }

  async #answers(): Promise<boolean> {
    try {
      const response = await fetch(`http://127.0.0.1:${this.port}/`, { signal: AbortSignal.timeout(2_000) })
      await response.arrayBuffer()
      return response.ok
    } catch {
      return false
    }
  }

  #spawn(program: string, ...args: string[]): ChildProcess {
    const log = openSync(join(this.#folder, 'log', `${program}.out`), 'a')
    const child = spawn(program, args, { env: this.#environment(), cwd: this.#folder, stdio: ['ignore', log, log] })
    this.#running.set(program, child)
    const endWithUs = () => child.kill('SIGKILL')
    process.once('exit', endWithUs)
    child.once('exit', () => process.off('exit', endWithUs))
    return child
  }

  async #run(program: string, ...args: string[]): Promise<string> {
    const child = spawn(program, args, {
      env: this.#environment(),
      cwd: this.#folder,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: startMs,
      killSignal: 'SIGKILL',
    })
    let output = ''
    let errors = ''
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk
    })
    child.stderr.on('data', (chunk: Buffer) => {
      errors += chunk
    })
    const [code] = await once(child, 'close')
    if (code !== 0) throw new Error(`${program} failed with ${code}:\n${errors}\n${this.#logOf('ceph-mon')}`)
    return output
  }

  #environment(): NodeJS.ProcessEnv {
    return { ...process.env, PATH: path, CEPH_CONF: join(this.#folder, 'ceph.conf') }
  }

  #logOf(program: string): string {
    try {
      return readFileSync(join(this.#folder, 'log', `${program}.out`), 'utf8').slice(-2_000)
    } catch {
      return ''
    }
  }
}

/**
 * One of everything, without authentication among them and without a manager. Without `tcp_nodelay` each answer waits
 * 40 ms for an acknowledgement. The proposal intervals take two seconds
 * off each new pool; the modes of connections are named because the gateway's default needs authentication.
 */
function configuration(options: { folder: string; cluster: string; monitorPort: number; port: number }): string {
  const { folder } = options
  const global = {
    fsid: options.cluster,
    mon_host: `v2:127.0.0.1:${options.monitorPort}`,
    public_addr: '127.0.0.1',
    cluster_addr: '127.0.0.1',
    auth_cluster_required: 'none',
    auth_service_required: 'none',
    auth_client_required: 'none',
    keyring: '/dev/null',
    ms_mon_client_mode: 'crc',
    ms_mon_service_mode: 'crc',
    ms_mon_cluster_mode: 'crc',
    run_dir: join(folder, 'run'),
    admin_socket: '',
    crash_dir: join(folder, 'run'),
    log_file: join(folder, 'log', '$name.log'),
    mon_cluster_log_file: join(folder, 'log', 'cluster.log'),
    pid_file: join(folder, 'run', '$name.pid'),
    mon_data: join(folder, 'mon'),
    mon_data_avail_warn: '2',
    mon_data_avail_crit: '1',
    mon_allow_pool_size_one: 'true',
    paxos_propose_interval: '0.01',
    paxos_min_wait: '0.01',
    osd_data: join(folder, 'osd'),
    osd_objectstore: 'memstore',
    memstore_device_bytes: String(2 * 1024 ** 3),
    osd_pool_default_size: '1',
    osd_pool_default_pg_num: '1',
    osd_pool_default_pg_autoscale_mode: 'off',
    osd_crush_chooseleaf_type: '0',
  }
  const client = {
    rgw_data: join(folder, 'rgw'),
    rgw_rados_pool_pg_num_min: '1',
    rgw_frontends: `beast endpoint=127.0.0.1:${options.port} tcp_nodelay=1`,
  }
  const section = (name: string, settings: Record<string, string>) =>
    [`[${name}]`, ...Object.entries(settings).map(([key, value]) => `${key} = ${value}`), ''].join('\n')
  return section('global', global) + section('client', client)
}

function isInstalled(program: string): boolean {
  return path.split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit', { signal: AbortSignal.timeout(stopMs) })
  child.kill(signal)
  await exited
}

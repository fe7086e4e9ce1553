import { readdir, rmdir, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { basename, join } from 'node:path'
import Docker from 'dockerode'
import { type Machine, startMachine } from './machine.ts'
import { requireParts } from './parts.ts'
import { childrenOf, type Program, run, startProgram } from './process.ts'
import { type TemporaryFolder, temporaryFolder, waitFor } from './wait.ts'

/** A Docker engine of its own: data, sockets, processes and mounts lie in one temporary folder and one machine. */
export interface Dockerd {
  socket: string
  /** For `DOCKER_HOST`. */
  dockerHost: string
  engine: Docker
  machine: Machine
  /** What the engine wrote since it started. */
  logs(): string
  /** KILL to the engine alone; containers go on, as they would on a real machine. */
  kill9(): Promise<void>
  /** Starts it again on the same data after `kill9`. */
  start(): Promise<void>
  /** Ends the engine with TERM and takes everything it made away. */
  stop(): Promise<void>
}

/**
 * Starts an engine in the network of the caller, with a one-node Swarm if `swarm`. One at a time: bridge names and the
 * Swarm's ports are fixed, so a second throws. For several engines use `startSwarmNodes`.
 */
export async function startDockerd(options: { swarm?: boolean } = {}): Promise<Dockerd> {
  requireParts(['dockerd', 'containerd', 'runc', 'iptables', 'ip', 'nsenter', 'unshare'])
  const place = await takePlace()
  const before = await linkNames()
  const release = async () => {
    await removeLinks(before)
    await new Promise((resolve) => place.close(resolve))
  }
  try {
    const machine = await startMachine({ network: 'shared' })
    const dockerd = await startEngine(machine, { release, insecureRegistries: [] })
    if (options.swarm === true) await initialiseSwarm(dockerd, '127.0.0.1')
    return dockerd
  } catch (error) {
    await release()
    throw error
  }
}

/** Starts an engine in a machine; the machine is switched off with it. */
export async function startEngine(
  machine: Machine,
  options: { insecureRegistries: readonly string[]; release?: () => Promise<void> },
): Promise<Dockerd> {
  const folder = await temporaryFolder('dockerd')
  const cgroup = basename(folder.path)
  const socket = join(folder.path, 'docker.sock')
  // A configuration of its own, so that the one of the machine has no part in the tests.
  await writeFile(join(folder.path, 'daemon.json'), '{}')
  const engine = new Docker({ socketPath: socket })
  let program: Program | undefined
  let stopped = false
  const dockerd: Dockerd = {
    socket,
    dockerHost: `unix://${socket}`,
    engine,
    machine,
    logs: () => program?.output() ?? '',
    async kill9() {
      for (const pid of childrenOf(program?.pid ?? -1)) process.kill(pid, 'SIGKILL')
      await waitFor(() => program?.ended(), { what: 'the killed engine to be gone' })
    },
    async start() {
      program = await startProgram(machine.inside(engineArguments(folder, cgroup, options.insecureRegistries)))
      await waitUntilReady(engine, program)
    },
    async stop() {
      if (stopped) return
      stopped = true
      if (program !== undefined) await terminate(program)
      await machine.powerOff()
      await removeCgroups(cgroup)
      await folder.remove()
      await options.release?.()
    },
  }
  try {
    await dockerd.start()
  } catch (error) {
    await dockerd.stop()
    throw error
  }
  return dockerd
}

/** Makes the engine the first manager of a new Swarm. */
export async function initialiseSwarm(dockerd: Dockerd, address: string): Promise<void> {
  await dockerd.engine.swarmInit({ ListenAddr: `${address}:2377`, AdvertiseAddr: address })
}

function engineArguments(folder: TemporaryFolder, cgroup: string, insecureRegistries: readonly string[]): string[] {
  const below = (name: string) => join(folder.path, name)
  return [
    'dockerd',
    ...['--data-root', below('data'), '--exec-root', below('exec'), '--pidfile', below('pid')],
    ...['--config-file', below('daemon.json'), '--host', `unix://${below('docker.sock')}`],
    ...['--storage-driver', 'overlay2', '--exec-opt', 'native.cgroupdriver=cgroupfs', '--cgroup-parent', `/${cgroup}`],
    ...insecureRegistries.flatMap((network) => ['--insecure-registry', network]),
  ]
}

async function waitUntilReady(engine: Docker, program: Program): Promise<void> {
  await waitFor(
    async () => {
      if (program.ended() !== undefined) return true
      await engine.ping()
      return true
    },
    { what: 'the container engine to answer', timeoutMs: 60_000 },
  )
  if (program.ended() !== undefined) throw new Error(`The engine ended at once:\n${program.output().slice(-3_000)}`)
}

/** `nsenter` stands between and does not pass signals on, so TERM goes to the engine itself. */
async function terminate(program: Program): Promise<void> {
  for (const pid of childrenOf(program.pid)) process.kill(pid, 'SIGTERM')
  await waitFor(() => program.ended(), { what: 'the engine to end after TERM', timeoutMs: 40_000 }).catch(() =>
    program.stop({ graceMs: 0 }),
  )
}

/** Holds an abstract socket: one holder in each network namespace, and the system frees it if this process dies. */
function takePlace(): Promise<Server> {
  const server = createServer()
  return new Promise((resolve, reject) => {
    server.once('error', (error) =>
      reject(
        new Error(
          'Another engine of the lab runs in this network. Stop it first, or use startSwarmNodes for several.',
          {
            cause: error,
          },
        ),
      ),
    )
    server.listen('\0freehold-lab-engine', () => {
      server.unref()
      resolve(server)
    })
  })
}

async function linkNames(): Promise<string[]> {
  const links: { ifname: string }[] = JSON.parse(await run(['ip', '-json', 'link', 'show']))
  return links.map((link) => link.ifname)
}

/** Removes what the engine left in the caller's network: bridges, and its firewall rules (the namespace is ours alone). */
async function removeLinks(before: readonly string[]): Promise<void> {
  for (const name of await linkNames()) {
    if (!before.includes(name)) await run(['ip', 'link', 'delete', name]).catch(() => undefined)
  }
  await run(['iptables', '--wait', '--policy', 'FORWARD', 'ACCEPT'])
  for (const table of ['filter', 'nat', 'mangle']) {
    await run(['iptables', '--wait', '--table', table, '--flush'])
    await run(['iptables', '--wait', '--table', table, '--delete-chain'])
  }
}

/** Control groups outlive their processes as empty folders, one tree a controller. */
async function removeCgroups(name: string): Promise<void> {
  const root = '/sys/fs/cgroup'
  const controllers = await readdir(root)
  for (const path of [join(root, name), ...controllers.map((controller) => join(root, controller, name))]) {
    await waitFor(async () => (await removeEmptyTree(path)) || undefined, {
      what: `the control group ${path} to be empty`,
      timeoutMs: 20_000,
    })
  }
}

async function removeEmptyTree(path: string): Promise<true> {
  try {
    const entries = await readdir(path, { withFileTypes: true })
    for (const entry of entries.filter((candidate) => candidate.isDirectory())) {
      await removeEmptyTree(join(path, entry.name))
    }
    await rmdir(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' && (error as NodeJS.ErrnoException).code !== 'ENOTDIR') {
      throw error
    }
  }
  return true
}

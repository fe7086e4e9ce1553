import { requireIsolation, requireParts } from './parts.ts'
import { childrenOf, nameOf, type Program, run, startProgram } from './process.ts'
import { waitFor } from './wait.ts'

/**
 * A machine made of namespaces: its own processes and mounts, and on wish its own network. Whatever was started in it
 * dies with its first process, and its mounts with that: switching it off leaves nothing behind.
 */
export interface Machine {
  /** Pid of its first process, as seen from outside. */
  pid: number
  /** The argument array that runs `argv` inside. */
  inside(argv: readonly string[]): string[]
  run(argv: readonly string[]): Promise<string>
  /** The pull of the plug: every process in it is gone when this returns. */
  powerOff(): Promise<void>
}

/** Starts a machine; `network: 'own'` gives it an empty network, `'shared'` the one of the caller. */
export async function startMachine(options: { network: 'own' | 'shared' }): Promise<Machine> {
  requireIsolation()
  requireParts(['unshare', 'nsenter', 'tini', 'ip'])
  const own = options.network === 'own'
  const keeper = await startProgram([
    'unshare',
    ...['--mount', '--pid', '--fork', '--kill-child', '--mount-proc', ...(own ? ['--net'] : [])],
    ...['tini', '-s', '--', 'sleep', 'infinity'],
  ])
  const pid = await waitFor(() => childrenOf(keeper.pid).find((child) => nameOf(child) === 'tini'), {
    what: () => `the first process of a machine ${keeper.output()}`,
    timeoutMs: 20_000,
    everyMs: 5,
  })
  const inside = (argv: readonly string[]) => [
    'nsenter',
    ...[`--target=${pid}`, '--mount', '--pid', ...(own ? ['--net'] : [])],
    '--',
    ...argv,
  ]
  const machine: Machine = {
    pid,
    inside,
    run: (argv) => run(inside(argv)),
    powerOff: () => powerOff(keeper, pid),
  }
  // Engines, plugins and the firewall's lock write below /run: each machine has its own.
  await machine.run(['mount', '-t', 'tmpfs', 'tmpfs', '/run'])
  if (own) await machine.run(['ip', 'link', 'set', 'lo', 'up'])
  return machine
}

async function powerOff(keeper: Program, pid: number): Promise<void> {
  if (keeper.ended() !== undefined) return
  process.kill(pid, 'SIGKILL')
  await waitFor(() => keeper.ended(), { what: 'the machine to be off', timeoutMs: 20_000, everyMs: 5 })
}

import { FreeholdError } from '@freehold/contracts/lean'
import { BaseRunner } from './base-runner.ts'
import { sentenceOf } from './log.ts'
import { SupervisorError } from './supervisor/client.ts'

const helpText = `Usage: baserunner [command]

Commands:
  start                     run the device agent until it is told to stop (default)
  status                    print runtime, Supervisor and Cloudly status as JSON
  check-supervisor          print the Supervisor's configuration and availability as JSON
  request-update [--force]  ask the Supervisor for an update of the apps, watch what comes of it, print that as JSON
  help                      print this

Settings come from the environment: BASEOS_CLOUDLY_URL, BASEOS_JOIN_TOKEN, BASEOS_NODE_TOKEN, BASEOS_NODE_ID,
BASEOS_STATE_PATH, BASEOS_HEARTBEAT_INTERVAL_MS, BALENA_SUPERVISOR_ADDRESS, BALENA_SUPERVISOR_API_KEY,
BASEOS_LOCAL_API, BASEOS_LOCAL_TOKEN_PATH, BASEOS_LOCK_DIR, BASEOS_UPDATE_ROOT, BASEOS_DEVICE_TYPE,
BASEOS_TWO_ROOTS_DIR, BASEOS_HOST_RESTART_COMMAND, BASEOS_HOST_ROOT, BASEOS_HEALTH_COMMAND, DOCKER_HOST,
BASEOS_LOG_LEVEL.

Exit codes: 0 done; 1 failed, or the update is locked; 2 wrong command or settings; 3 no Supervisor is configured.
`

/** How long `request-update` watches for an outcome. */
const updateWaitMs = 120_000

export interface CliParts {
  environment: Record<string, string | undefined>
  /** Text for the caller, and for a person. */
  write: (text: string) => void
  writeError: (text: string) => void
  /** Resolves when `start` shall end. */
  untilStopped: () => Promise<void>
}

/** Runs one command, as the process would; resolves to its exit code and never throws. */
export async function runCli(argv: readonly string[], parts: Partial<CliParts> = {}): Promise<number> {
  const filled: CliParts = {
    environment: process.env,
    write: (text) => void process.stdout.write(text),
    writeError: (text) => void process.stderr.write(text),
    untilStopped: signalled,
    ...parts,
  }
  const [command = 'start', ...rest] = argv
  const wanted = command === '--help' || command === '-h' ? 'help' : command
  const run = Object.hasOwn(commands, wanted) ? commands[wanted as keyof typeof commands] : undefined
  const allowed = wanted === 'request-update' ? ['--force'] : []
  const unknown = run ? rest.find((argument) => !allowed.includes(argument)) : command
  if (!run || unknown !== undefined) {
    filled.writeError(`There is no ${JSON.stringify(unknown)} here.\n\n${helpText}`)
    return 2
  }
  try {
    return await run(filled, rest)
  } catch (error) {
    filled.writeError(`${sentenceOf(error)}\n`)
    if (error instanceof FreeholdError && error.code === 'invalid-input') return 2
    return 1
  }
}

const commands = {
  start: async ({ environment, write, untilStopped }: CliParts) => {
    const runner = BaseRunner.fromEnv(environment, { writeLog: write })
    const stopped = untilStopped()
    try {
      await runner.start()
      await stopped
    } finally {
      await runner.stop()
    }
    return 0
  },
  status: async (parts: CliParts) => {
    parts.write(json(await oneShot(parts).status()))
    return 0
  },
  'check-supervisor': async (parts: CliParts) => {
    const checked = await oneShot(parts).checkSupervisor()
    parts.write(json(checked))
    if (checked.supervisor.state === 'not-configured') return 3
    return checked.supervisor.state === 'available' ? 0 : 1
  },
  'request-update': async (parts: CliParts, rest: readonly string[]) => {
    const runner = oneShot(parts)
    const { supervisor } = await runner.checkSupervisor()
    if (supervisor.state === 'not-configured') {
      parts.write(json({ outcome: 'not-configured', message: 'BALENA_SUPERVISOR_ADDRESS is not set.' }))
      return 3
    }
    try {
      const update = await runner.requestUpdate({ force: rest.includes('--force'), waitMs: updateWaitMs })
      parts.write(json(update))
      return update.outcome === 'applied' || update.outcome === 'nothing-new' || update.outcome === 'applying' ? 0 : 1
    } catch (error) {
      if (!(error instanceof SupervisorError)) throw error
      parts.write(json({ outcome: 'failed', reason: error.reason, message: error.message }))
      return 1
    } finally {
      await runner.stop()
    }
  },
  help: async ({ write }: CliParts) => {
    write(helpText)
    return 0
  },
}

/** What it says goes to the error stream, so that the output is JSON and nothing else. */
function oneShot({ environment, writeError }: CliParts): BaseRunner {
  return BaseRunner.fromEnv({ ...environment, BASEOS_LOG_LEVEL: 'error' }, { writeLog: writeError })
}

function json(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`
}

function signalled(): Promise<void> {
  return new Promise((resolve) => {
    // A process whose heartbeats are not configured has nothing else that keeps it alive.
    const alive = setInterval(() => undefined, 24 * 60 * 60_000)
    const end = () => {
      clearInterval(alive)
      resolve()
    }
    process.once('SIGTERM', end)
    process.once('SIGINT', end)
  })
}

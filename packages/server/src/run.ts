import { FreeholdError } from '@freehold/contracts'
import { type Config, readConfig } from './config/index.ts'
import { createLog } from './log.ts'
import { createServer, type RunningServer } from './server.ts'

/** The whole life of the process: read the settings, start, say where it is, and stop when asked to. */
export async function run(options: {
  environment: Record<string, string | undefined>
  write: (text: string) => void
  /** Lines of the local agent's log; they go where the log goes. */
  writeLog: (text: string) => void
}): Promise<void> {
  const say = (sentence: string) => options.write(`${sentence}\n`)
  const config = settingsOrExit(options.environment, say)
  if (config === undefined) return
  const log = createLog(config.logLevel)
  try {
    const server = await createServer(config, { log, say, passOn: (line) => options.writeLog(`${line}\n`) })
    stopOnSignal(server, say)
    say(banner(server, config))
  } catch (error) {
    if (!isExpected(error)) throw error
    say(`Freehold cannot start: ${error.message}`)
    process.exitCode = 1
  }
}

function settingsOrExit(environment: Record<string, string | undefined>, say: (sentence: string) => void) {
  const result = readConfig(environment)
  for (const warning of result.warnings) say(`Warning: ${warning}`)
  if ('config' in result) return result.config
  say('Freehold cannot start; its settings have these faults (docs/settings.md describes every setting):')
  for (const fault of result.faults) say(`  - ${fault}`)
  process.exitCode = 1
  return undefined
}

/** The first signal stops in good order, the second at once. */
function stopOnSignal(server: RunningServer, say: (sentence: string) => void): void {
  let stopping = false
  const stop = (signal: NodeJS.Signals) => {
    if (stopping) process.exit(1)
    stopping = true
    say(`${signal}: stopping.`)
    server.close().then(
      () => process.exit(0),
      (error: unknown) => {
        say(`Freehold did not stop in good order: ${error instanceof Error ? error.message : String(error)}`)
        process.exit(1)
      },
    )
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
}

function banner(server: RunningServer, config: Config): string {
  return [
    `Freehold ${server.version} is running at ${server.url}`,
    `  data: ${config.dataDirectory}${config.storeUrl === undefined ? '' : ' (store: PostgreSQL)'}`,
    ...(config.s3 === undefined ? [] : [`  blobs: bucket ${config.s3.bucket} at ${config.s3.endpoint}`]),
    `  API reference: ${server.url}/docs/api`,
    ...(config.hostname === undefined
      ? [
          '  for this machine only as yet: agents and `docker push` elsewhere need SERVEZONE_URL, the name they reach it by',
        ]
      : []),
    ...(server.setupLink === null
      ? []
      : ['', 'There is no administrator yet. Make the first one here; the link works once:', `  ${server.setupLink}`]),
  ].join('\n')
}

/** Errors with a sentence for the operator; anything else is a defect and shows its stack. */
function isExpected(error: unknown): error is FreeholdError {
  return error instanceof FreeholdError
}

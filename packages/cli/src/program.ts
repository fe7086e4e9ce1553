import { Command, CommanderError, Option } from 'commander'
import packageVersion from '../package.json' with { type: 'json' }
import { addBaseImageCommands } from './commands/base-images.ts'
import { addBuildWorkers } from './commands/build-workers.ts'
import { addBuildCommands } from './commands/builds.ts'
import { addCompletion } from './commands/completion.ts'
import { addDeviceCommands } from './commands/devices.ts'
import { addDocuments } from './commands/documents.ts'
import { addImageContentCommands } from './commands/image-contents.ts'
import { addImageCommands } from './commands/images.ts'
import { addRegistryCommands } from './commands/registry.ts'
import { addReleaseRolloutCommands } from './commands/release-rollouts.ts'
import { addScrub } from './commands/scrub.ts'
import { addServiceCommands } from './commands/services.ts'
import { addSettings } from './commands/settings.ts'
import { addSignIn } from './commands/sign-in.ts'
import { addStatus } from './commands/status.ts'
import { addUpdates } from './commands/updates.ts'
import { CliError, type ExitCode, exitCodeMeanings, exitCodes, type Failure, failureOf } from './exit-codes.ts'
import type { Io } from './io.ts'
import { addNouns } from './nouns/commands.ts'
import { positiveSeconds } from './nouns/values.ts'
import { createOutput } from './output/output.ts'
import type { Connect, Environment } from './runtime.ts'

/** The whole command, ready to parse; nothing is read or written before it does. */
export function createProgram(environment: Environment): Command {
  const program = new Command('freehold')
    .description('Freehold: the cloud you own outright.')
    .addOption(
      new Option('--json', 'print one JSON document (watch and logs: NDJSON) and nothing else on standard output'),
    )
    .addOption(new Option('--context <name>', 'the server to talk to, as named at login'))
    .addOption(new Option('--timeout <seconds>', 'give up after this long').argParser(positiveSeconds))
    .configureHelp({ showGlobalOptions: true, sortSubcommands: false })
    .configureOutput({ writeOut: environment.io.out, writeErr: (text) => environment.said.push(text) })
    .addHelpText('after', `\n${exitCodeHelp()}`)
    .exitOverride()
    .version(packageVersion.version)
  addSignIn(program, environment)
  addStatus(program, environment)
  addNouns(program, environment)
  addServiceCommands(program, environment)
  addDeviceCommands(program, environment)
  addReleaseRolloutCommands(program, environment)
  addBuildCommands(program, environment)
  addBaseImageCommands(program, environment)
  addBuildWorkers(program, environment)
  addSettings(program, environment)
  addUpdates(program, environment)
  addScrub(program, environment)
  addImageContentCommands(program, environment)
  addRegistryCommands(program, environment)
  addImageCommands(program, environment)
  addDocuments(program, environment)
  addCompletion(program, environment)
  return program
}

/** Runs one command line (without the program's own name) and answers its exit code. */
export async function run(commandLine: readonly string[], options: { io: Io; connect: Connect }): Promise<ExitCode> {
  const environment: Environment = { ...options, exit: { code: exitCodes.ok }, said: [] }
  const program = createProgram(environment)
  try {
    await program.parseAsync([...commandLine], { from: 'user' })
    return environment.exit.code
  } catch (error) {
    const json = commandLine.includes('--json')
    const output = createOutput(options.io, { json })
    if (error instanceof CommanderError) return usageError(error, { environment, tell: output.failure })
    const { aborted, reason } = options.io.signal
    // A command that was interrupted may say more than that; which signal it was says the exit code.
    const failure = failureOf(aborted && !(error instanceof CliError) ? reason : error)
    output.failure(failure)
    return aborted ? failureOf(reason).exitCode : failure.exitCode
  }
}

function usageError(
  error: CommanderError,
  { environment, tell }: { environment: Environment; tell: (failure: Failure) => void },
): ExitCode {
  if (error.exitCode === 0) return exitCodes.ok
  if (error.code === 'commander.help') {
    environment.io.error(environment.said.join(''))
    return exitCodes.usage
  }
  const message = error.message.replace(/^error: /, '')
  tell({ exitCode: exitCodes.usage, code: 'usage', message, details: [], action: 'Add --help to see what there is.' })
  return exitCodes.usage
}

function exitCodeHelp(): string {
  const lines = Object.entries(exitCodeMeanings).map(([code, meaning]) => `  ${code.padEnd(4)} ${meaning}`)
  return ['Exit codes:', ...lines].join('\n')
}

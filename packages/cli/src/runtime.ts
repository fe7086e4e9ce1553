import type { Command } from 'commander'
import type { Api } from './api.ts'
import { chooseTarget, configPath, readConfig, type Target } from './config.ts'
import { CliError, type ExitCode, exitCodes } from './exit-codes.ts'
import type { Io } from './io.ts'
import { createOutput, type Output } from './output/output.ts'

/** What every command may be told, wherever it stands on the line. */
export interface GlobalOptions {
  json?: boolean
  context?: string
  timeout?: number
}

/** What one run of a command works with. */
export interface Runtime {
  io: Io
  output: Output
  options: GlobalOptions
  configPath: string
  /** The server that is meant (by `--context`, unless another is named), and as whom. */
  target(contextName?: string): Promise<Target>
  /** Opens the API there; throws where nobody is signed in. */
  api(): Promise<Api>
  /** Opens the API of a server without an identity, or with one that is only now being made. */
  connect(target: Target): Api
  /** Aborted by Ctrl-C and by `--timeout`. */
  signal: AbortSignal
}

export type Connect = (target: Target, signal: AbortSignal) => Api

/** How commands reach world and server, and where their exit code goes. */
export interface Environment {
  io: Io
  connect: Connect
  exit: { code: ExitCode }
  /** What the parser says of a wrong line; printed only where it is help. */
  said: string[]
}

/** What a command's action is given: its operands in order, its own options, and the runtime. */
export interface Invocation<Options> {
  operands: (string | undefined)[]
  options: Options
  runtime: Runtime
}

/** Gives a command its action; what the action returns becomes the exit code, nothing means 0. */
export function handle<Options = Record<string, never>>(
  command: Command,
  environment: Environment,
  action: (invocation: Invocation<Options>) => Promise<ExitCode | undefined>,
): Command {
  return command.action(async () => {
    const runtime = createRuntime(environment, command.optsWithGlobals<GlobalOptions>())
    const operands = command.processedArgs.flat() as (string | undefined)[]
    environment.exit.code =
      (await action({ operands, options: command.opts<Options & object>(), runtime })) ?? exitCodes.ok
  })
}

/** The operand at this place; commander has already insisted on those that are required. */
export function operand(operands: (string | undefined)[], index: number): string {
  const value = operands[index]
  if (value === undefined)
    throw new CliError(exitCodes.usage, 'An operand is missing.', 'Add --help to see what the command takes.')
  return value
}

function createRuntime({ io, connect }: Environment, options: GlobalOptions): Runtime {
  const signal = options.timeout === undefined ? io.signal : AbortSignal.any([io.signal, timeLimit(options.timeout)])
  const path = configPath(io.environment)
  const target = async (contextName: string | undefined = options.context) =>
    chooseTarget({ config: await readConfig(path), contextName, environment: io.environment })
  return {
    io,
    output: createOutput(io, { json: options.json === true }),
    options,
    configPath: path,
    target,
    api: async () => {
      const chosen = await target()
      if (chosen.token === null) {
        const action = `Sign in with \`freehold login ${chosen.url}\`, or set FREEHOLD_TOKEN.`
        throw new CliError(exitCodes.forbidden, `Not signed in to ${chosen.url}.`, action)
      }
      return connect(chosen, signal)
    },
    connect: (chosen) => connect(chosen, signal),
    signal,
  }
}

/** Aborts after so many seconds; does not keep the process waiting for it. */
function timeLimit(seconds: number): AbortSignal {
  const controller = new AbortController()
  const late = new CliError(exitCodes.failed, `Not finished within ${seconds} s.`, 'Allow more with --timeout.')
  setTimeout(() => controller.abort(late), seconds * 1000).unref()
  return controller.signal
}

import type { Command } from 'commander'
import { candidates } from '../completion/candidates.ts'
import { scripts } from '../completion/scripts.ts'
import { CliError, exitCodes } from '../exit-codes.ts'
import { type Environment, handle } from '../runtime.ts'

const askServerMs = 1000

/** Adds `completion` and the hidden command its scripts call. */
export function addCompletion(program: Command, environment: Environment): void {
  const command = program
    .command('completion')
    .description('Print the completion script of a shell: commands, flags, and names asked of the server.')
    .argument('<shell>', 'bash, zsh or fish')
  handle(command, environment, async ({ operands, runtime }) => {
    const shell = String(operands[0])
    const script = Object.hasOwn(scripts, shell) ? scripts[shell] : undefined
    if (script === undefined) {
      throw new CliError(exitCodes.usage, `There is no completion for "${shell}".`, 'bash, zsh and fish have one.')
    }
    runtime.io.out(script)
    return undefined
  })
  const hidden = program
    .command('__complete', { hidden: true })
    .argument('[words...]')
    .allowUnknownOption()
    .helpOption(false)
  handle(hidden, environment, async ({ operands, runtime }) => {
    const words = operands.map((word) => word ?? '')
    const stop = AbortSignal.any([runtime.signal, AbortSignal.timeout(askServerMs)])
    const open = async (contextName: string | undefined) => environment.connect(await runtime.target(contextName), stop)
    for (const candidate of await candidates(program, words, open)) runtime.output.line(candidate)
    return undefined
  })
}

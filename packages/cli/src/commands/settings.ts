import { routes, sensitiveSettings, settingKeys } from '@freehold/contracts'
import { Argument, type Command } from 'commander'
import { CliError, exitCodes } from '../exit-codes.ts'
import { readSecretLine } from '../io.ts'
import type { Output } from '../output/output.ts'
import { type Environment, handle, operand } from '../runtime.ts'

type Key = (typeof settingKeys)[number]

/** Adds `settings get`, `settings set` and `settings clear`. */
export function addSettings(program: Command, environment: Environment): void {
  const settings = program
    .command('settings')
    .summary('settings of the control plane that change while it runs')
    .description('Settings of the control plane that change while it runs. Sensitive ones are shown masked.')
  const key = () => new Argument('<setting>', 'which one').choices(settingKeys)

  handle(settings.command('get').description('Show all settings.'), environment, async ({ runtime }) => {
    tell(runtime.output, await (await runtime.api()).call(routes.settings.get))
    return undefined
  })

  const set = settings
    .command('set')
    .description('Change a setting.')
    .addArgument(key())
    .argument('[value]', 'its new value; a sensitive one is read from standard input')
    .option('--value-stdin', 'read the value from the first line of standard input')
  handle<{ valueStdin?: boolean }>(set, environment, async ({ operands, options, runtime }) => {
    const name = operand(operands, 0)
    const isSensitive = sensitiveSettings.includes(name)
    if (isSensitive && operands[1] !== undefined) {
      throw new CliError(
        exitCodes.usage,
        'A secret on the command line can be read by others on this machine.',
        'Use --value-stdin.',
      )
    }
    const value = options.valueStdin === true ? await readSecretLine(runtime.io) : await ask()
    const body = { [name]: value } as { [Name in Key]?: never }
    tell(runtime.output, await (await runtime.api()).call(routes.settings.update, { body }))
    return undefined

    async function ask(): Promise<string> {
      if (!isSensitive || runtime.io.prompts === null) return operand(operands, 1)
      return runtime.io.prompts.password(name)
    }
  })

  const clear = settings.command('clear').description('Bring a setting back to its default.').addArgument(key())
  handle(clear, environment, async ({ operands, runtime }) => {
    const params = { key: operand(operands, 0) as Key }
    tell(runtime.output, await (await runtime.api()).call(routes.settings.clear, { params }))
    return undefined
  })
}

function tell(output: Output, settings: Record<Key, string | null>): void {
  if (output.json) output.document(settings)
  else {
    const rows = settingKeys.map((name) => [name, settings[name] ?? '(not set)'])
    output.table({ columns: ['SETTING', 'VALUE'], rows })
  }
}

import type { Readable, Writable } from 'node:stream'
import { confirm, isCancel, password, text } from '@clack/prompts'
import { CliError, exitCodes } from './exit-codes.ts'
import type { Prompts } from './io.ts'

/** Questions on a terminal; they are written to `output` so that standard output keeps only what was asked for. */
export function createPrompts(input: Readable, output: Writable): Prompts {
  const streams = { input, output }
  return {
    text: async (message, initial) =>
      answered(await text({ message, ...streams, ...(initial === undefined ? {} : { initialValue: initial }) })),
    password: async (message) => answered(await password({ message, ...streams })),
    confirm: async (message) => answered(await confirm({ message, initialValue: false, ...streams })),
  }
}

function answered<T>(answer: T | symbol): Exclude<T, symbol> {
  if (isCancel(answer)) throw new CliError(exitCodes.interrupted, 'Nothing was done.')
  return answer as Exclude<T, symbol>
}

import type { Command } from 'commander'
import type { Data } from '../input/assign.ts'
import type { Runtime } from '../runtime.ts'
import type { Noun } from './noun.ts'
import { addImageRetentionFlags, readImageRetentionFlags } from './retention-flags.ts'
import { addServiceFlags, readServiceFlags } from './service-flags.ts'

interface ExtraFlags {
  add(command: Command, verb: 'create' | 'update'): void
  read(runtime: Runtime, options: object, verb: 'create' | 'update'): Promise<Data>
}

/** Flags for nested fields that people set often; every other nested field is reached by `--set` and `--file`. */
const extraFlags: Record<string, ExtraFlags> = {
  services: { add: addServiceFlags, read: readServiceFlags },
  images: {
    add: (command, verb) => {
      command.option(
        '--external <image>',
        'pulled from elsewhere, such as docker.io/library/nginx, instead of pushed here',
      )
      addImageRetentionFlags(command, verb)
    },
    read: async (_, options, verb) => {
      const { external } = options as { external?: string }
      return {
        ...(external === undefined ? {} : { location: { internal: false, externalImage: external } }),
        ...readImageRetentionFlags(options, verb),
      }
    },
  },
}

export function addExtraFlags(command: Command, noun: Noun, verb: 'create' | 'update'): void {
  extraFlags[noun.plural]?.add(command, verb)
}

export async function readExtraFlags(
  runtime: Runtime,
  noun: Noun,
  input: { options: object; verb: 'create' | 'update' },
): Promise<Data> {
  return (await extraFlags[noun.plural]?.read(runtime, input.options, input.verb)) ?? {}
}

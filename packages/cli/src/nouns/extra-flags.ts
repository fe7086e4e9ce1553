import type { Command } from 'commander'
import { CliError, exitCodes } from '../exit-codes.ts'
import type { Data } from '../input/assign.ts'
import type { Runtime } from '../runtime.ts'
import { find } from './lookup.ts'
import { findNoun, listNouns, type Noun } from './noun.ts'
import { addReleaseFlags, readReleaseFlags } from './release-flags.ts'
import { addImageRetentionFlags, readImageRetentionFlags } from './retention-flags.ts'
import { addServiceFlags, readServiceFlags } from './service-flags.ts'
import { collect, parseLabel } from './values.ts'

interface ExtraFlags {
  add(command: Command, verb: 'create' | 'update'): void
  read(runtime: Runtime, options: object, verb: 'create' | 'update'): Promise<Data>
}

/** Flags for nested fields that people set often; every other nested field is reached by `--set` and `--file`. */
const extraFlags: Record<string, ExtraFlags> = {
  'join-tokens': {
    add: (command) => {
      command.option('--device-label <key=value>', 'given to devices that enrol with it (repeatable)', collect)
    },
    read: async (_, options) => {
      const { deviceLabel } = options as { deviceLabel?: string[] }
      return deviceLabel === undefined ? {} : { deviceLabels: Object.fromEntries(deviceLabel.map(parseLabel)) }
    },
  },
  'device-groups': {
    add: (command) => {
      command.option('--selector <key=value>', 'devices with this label belong (repeatable: all of them)', collect)
    },
    read: async (_, options) => {
      const { selector } = options as { selector?: string[] }
      return selector === undefined ? {} : { selector: Object.fromEntries(selector.map(parseLabel)) }
    },
  },
  releases: { add: addReleaseFlags, read: readReleaseFlags },
  services: { add: addServiceFlags, read: readServiceFlags },
  images: {
    add: (command, verb) => {
      command
        .option('--external <image>', 'pulled from elsewhere, such as docker.io/library/nginx, instead of pushed here')
        .option('--mirror <repository>', 'filled on demand from this repository of the registry that --registry names')
        .option('--registry <name|id>', 'the external registry that --external or --mirror is at')
      addImageRetentionFlags(command, verb)
    },
    read: async (runtime, options, verb) => ({
      ...(await readImageFlags(runtime, options)),
      ...readImageRetentionFlags(options, verb),
    }),
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

async function readImageFlags(runtime: Runtime, input: object): Promise<Data> {
  const options = input as { external?: string; mirror?: string; registry?: string }
  const { external, mirror } = options
  if (external !== undefined && mirror !== undefined) {
    throw new CliError(exitCodes.usage, 'An image is external or a mirror, not both.', 'Give --external or --mirror.')
  }
  if (external === undefined && mirror === undefined) {
    if (options.registry === undefined) return {}
    throw new CliError(exitCodes.usage, '--registry goes with --external or --mirror.')
  }
  const id = options.registry === undefined ? undefined : await registryId(runtime, options.registry)
  if (external !== undefined) {
    const registry = id === undefined ? {} : { externalRegistryId: id }
    return { location: { internal: false, externalImage: external, ...registry } }
  }
  if (id === undefined) {
    throw new CliError(exitCodes.usage, 'A mirror needs to know of which registry.', 'Name it with --registry.')
  }
  return { location: { internal: true, mirrorOf: { externalRegistryId: id, repository: mirror } } }
}

/** The id of an external registry by its name or id. */
export async function registryId(runtime: Runtime, reference: string): Promise<string> {
  return (await find(await runtime.api(), findNoun(listNouns(), 'external-registries'), reference)).id
}

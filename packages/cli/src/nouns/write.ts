import { type Command, Option } from 'commander'
import type { z } from 'zod'
import type { AnyResource } from '../api.ts'
import { CliError, exitCodes } from '../exit-codes.ts'
import { assign, assignAll, type Data, mergeData, parseAssignment, parsePath } from '../input/assign.ts'
import { type Input, readInput, withPlaces } from '../input/resource-file.ts'
import { readSecretLine } from '../io.ts'
import { type Environment, handle, operand, type Runtime } from '../runtime.ts'
import { addExtraFlags, readExtraFlags } from './extra-flags.ts'
import { addFieldFlags, fieldFlags, readFieldFlags, secretFields } from './flags.ts'
import { tellCreated } from './hints.ts'
import { find, nameOf } from './lookup.ts'
import { type Noun, oneOf } from './noun.ts'
import { collect, parseLabel, wholeNumber } from './values.ts'

interface WriteOptions extends Record<string, unknown> {
  set?: string[]
  unset?: string[]
  file?: string
  label?: string[]
  unlabel?: string[]
  ifVersion?: number
  passwordStdin?: boolean
  askPassword?: boolean
}

/** Adds `create`: what a file says, then flags, then `--set`, the later over the earlier. */
export function addCreate(parent: Command, noun: Noun, environment: Environment): void {
  const flags = fieldFlags(withoutName(noun.createFields))
  const hasName = 'name' in noun.createFields
  const command = parent.command('create').description(`Create ${oneOf(noun)}.`)
  if (hasName) command.argument('[name]', `name of the new ${noun.singular}; may stand in the file instead`)
  addFieldFlags(command, flags)
  addExtraFlags(command, noun, 'create')
  addCommonFlags(command, noun.createFields)
  handle<WriteOptions>(command, environment, async ({ operands, options, runtime }) => {
    const file = await readInput(runtime.io, options.file)
    const given = await readFieldFlags(runtime.api, flags, options)
    const extra = await readExtraFlags(runtime, noun, { options, verb: 'create' })
    const name = operands[0] === undefined ? {} : { name: operands[0] }
    let data = mergeData(mergeData(mergeData(file.data, given), extra), name)
    data = assignSet(data, options, { noun, base: undefined })
    data = {
      ...data,
      ...(await readPassword(runtime, noun.createFields, { options, required: needsPassword(noun, data) })),
    }
    const labels = { ...file.labels, ...Object.fromEntries((options.label ?? []).map(parseLabel)) }
    const route = noun.verbs.create
    if (route === undefined) throw new CliError(exitCodes.usage, `It cannot be created: ${noun.singular}.`)
    const body = { data, ...(Object.keys(labels).length === 0 ? {} : { labels }) }
    const api = await runtime.api()
    const created = await withPlaces(file, () => api.call(route, { body }))
    if (runtime.output.json) runtime.output.document(created)
    else tellCreated(runtime.output, noun, created)
    return undefined
  })
}

/** Adds `update`: only what is named changes. */
export function addUpdate(parent: Command, noun: Noun, environment: Environment): void {
  const flags = fieldFlags(noun.updateFields)
  const command = parent
    .command('update')
    .description(`Change ${oneOf(noun)}; what is not named stays.`)
    .argument(`<${noun.singular}>`, 'name or id')
  addFieldFlags(command, flags)
  addExtraFlags(command, noun, 'update')
  addCommonFlags(command, noun.updateFields)
  command
    .option('--unset <path>', 'remove an optional field (repeatable)', collect)
    .option('--unlabel <key>', 'remove a label (repeatable)', collect)
    .addOption(new Option('--if-version <number>', 'only if it still has this version').argParser(wholeNumber(0)))
  if (secretFields.some((field) => field in noun.updateFields))
    command.option('--ask-password', 'ask for a new password')
  handle<WriteOptions>(command, environment, async ({ operands, options, runtime }) => {
    const api = await runtime.api()
    const stored = await find(api, noun, operand(operands, 0))
    const file = await readInput(runtime.io, options.file)
    const given = await readFieldFlags(runtime.api, flags, options)
    const extra = await readExtraFlags(runtime, noun, { options, verb: 'update' })
    let patch = assignSet(mergeData(mergeData(file.data, given), extra), options, { noun, base: stored.data })
    for (const path of options.unset ?? []) {
      patch = assign({ target: patch, path: parsePath(path), value: null, base: undefined }) as Data
    }
    const password = { options, required: options.askPassword === true }
    patch = { ...patch, ...(await readPassword(runtime, noun.updateFields, password)) }
    const body = updateBody(stored, { patch, labels: newLabels(stored, file, options), options })
    const route = noun.verbs.update
    if (route === undefined) throw new CliError(exitCodes.usage, `It cannot be updated: ${noun.singular}.`)
    const updated = (await withPlaces(file, () => api.call(route, { params: { id: stored.id }, body }))) as AnyResource
    if (runtime.output.json) runtime.output.document(updated)
    else tellUpdated(runtime, noun, { stored, updated })
    return undefined
  })
}

function addCommonFlags(command: Command, fields: Record<string, z.ZodType>): void {
  command
    .option('--set <path=value>', 'any field by its path, such as ports.web=8080 (repeatable)', collect)
    .option('-f, --file <file>', 'fields from a YAML or JSON file, - for standard input')
    .option('--label <key=value>', 'set a label (repeatable)', collect)
  if (secretFields.some((field) => field in fields)) {
    command.option('--password-stdin', 'read the password from the first line of standard input')
  }
}

function assignSet(data: Data, options: WriteOptions, input: { noun: Noun; base: Data | undefined }): Data {
  const assignments = (options.set ?? []).map(parseAssignment)
  const secret = assignments.find(({ path }) => secretFields.includes(path[0] ?? ''))
  if (secret !== undefined) {
    throw new CliError(
      exitCodes.usage,
      'A password on the command line can be read by others on this machine.',
      'Use --password-stdin.',
    )
  }
  return assignAll(data, { assignments, schema: input.noun.data, base: input.base })
}

/** Where a password may be left out, a user name without one is still a mistake. */
function needsPassword(noun: Noun, data: Data): boolean {
  const field = noun.createFields.password
  if (field === undefined || !field.safeParse(undefined).success) return true
  return typeof data.username === 'string' && data.username !== ''
}

async function readPassword(
  runtime: Runtime,
  fields: Record<string, z.ZodType>,
  input: { options: WriteOptions; required: boolean },
): Promise<Data> {
  if (!('password' in fields)) return {}
  if (input.options.passwordStdin === true) return { password: await readSecretLine(runtime.io) }
  if (!input.required) return {}
  if (runtime.io.prompts === null) {
    throw new CliError(exitCodes.usage, 'A password is needed.', 'Give it on standard input with --password-stdin.')
  }
  return { password: await runtime.io.prompts.password('Password') }
}

/** All labels as they shall be; undefined where none is to change. */
function newLabels(stored: AnyResource, file: Input, options: WriteOptions): Record<string, string> | undefined {
  if (options.label === undefined && options.unlabel === undefined) return file.labels
  const labels = { ...(file.labels ?? stored.labels), ...Object.fromEntries((options.label ?? []).map(parseLabel)) }
  return Object.fromEntries(Object.entries(labels).filter(([key]) => !(options.unlabel ?? []).includes(key)))
}

function updateBody(
  stored: AnyResource,
  input: { patch: Data; labels: Record<string, string> | undefined; options: WriteOptions },
): { data?: Data; labels?: Record<string, string>; version?: number } {
  const { patch, labels, options } = input
  const hasData = Object.keys(patch).length > 0
  if (!hasData && labels === undefined) {
    throw new CliError(
      exitCodes.usage,
      'Nothing is to be changed.',
      'Name a field by a flag, --set or --file; --help lists them.',
    )
  }
  // Labels and single entries of lists are replaced whole, from what was just read: nobody else may have changed them.
  const rewrites = options.label ?? options.unlabel ?? options.set?.find((text) => /\.\d+[.=]/.test(text))
  const version = options.ifVersion ?? (rewrites === undefined ? undefined : stored.version)
  return {
    ...(hasData ? { data: patch } : {}),
    ...(labels === undefined ? {} : { labels }),
    ...(version === undefined ? {} : { version }),
  }
}

function tellUpdated(runtime: Runtime, noun: Noun, input: { stored: AnyResource; updated: AnyResource }): void {
  const { stored, updated } = input
  const changed = stored.version !== updated.version
  runtime.output.line(`${changed ? 'Updated' : 'Nothing to change in'} ${noun.singular} ${nameOf(updated)}.`)
  const rolls = noun.plural === 'services' && stored.status.rolloutId !== updated.status.rolloutId
  if (rolls) runtime.output.note(`→ \`freehold rollouts watch ${nameOf(updated)}\` follows the rollout.`)
}

function withoutName(fields: Record<string, z.ZodType>): Record<string, z.ZodType> {
  return Object.fromEntries(Object.entries(fields).filter(([field]) => field !== 'name'))
}

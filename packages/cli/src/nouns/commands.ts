import { FreeholdError } from '@freehold/contracts'
import { type Command, Option } from 'commander'
import { stringify } from 'yaml'
import { z } from 'zod'
import type { AnyResource, Api } from '../api.ts'
import { CliError, exitCodes } from '../exit-codes.ts'
import { type Environment, handle, operand, type Runtime } from '../runtime.ts'
import { orderKeys, unwrap } from '../schema.ts'
import { toldOf } from './actions.ts'
import { columnsOf } from './columns.ts'
import { filterFlags, readFieldFlags } from './flags.ts'
import { find, listAll, nameOf } from './lookup.ts'
import { findNoun, listNouns, type Noun, oneOf, referenceOf } from './noun.ts'
import { collect, parseLabel, wholeNumber } from './values.ts'
import { addWatch } from './watch.ts'
import { addCreate, addUpdate } from './write.ts'

/** Verbs whose commands are written by hand, because they take more than the contract's fields. */
const handMade: Record<string, string[]> = {
  'release-rollouts': ['create', 'abort', 'watch'],
  builds: ['create', 'watch'],
  'base-images': ['create'],
}

/** Adds one command for each noun of the contract, with one subcommand for each of its verbs. */
export function addNouns(program: Command, environment: Environment): void {
  for (const noun of listNouns()) {
    const own = handMade[noun.plural] ?? []
    const command = program
      .command(noun.plural)
      .alias(noun.singular)
      .summary(`work with ${noun.plural}`)
      .description(`Commands for ${noun.plural}. Name ${oneOf(noun)} by its ${namedBy(noun)}.`)
    addList(command, noun, environment)
    addGet(command, noun, environment)
    if (noun.verbs.create !== undefined && !own.includes('create')) addCreate(command, noun, environment)
    if (noun.verbs.update !== undefined) addUpdate(command, noun, environment)
    for (const { verb, route } of noun.actions) {
      if (!own.includes(verb)) addAction(command, { noun, verb, summary: route.summary, environment })
    }
    if (noun.verbs.delete !== undefined) addDelete(command, noun, environment)
    if (!own.includes('watch')) addWatch(command, noun, environment)
  }
}

function addList(parent: Command, noun: Noun, environment: Environment): void {
  const filters = filterFlags(noun)
  const command = parent.command('list').alias('ls').description(`List ${noun.plural}, all pages.`)
  for (const { flag, reference, schema } of filters) {
    const values = unwrap(schema)
    if (values instanceof z.ZodEnum) {
      const choices = values.options.map(String)
      command.addOption(new Option(`--${flag} <${flag}>`, `only with this ${flag}`).choices(choices))
      continue
    }
    const what = reference === undefined ? 'text' : 'name|id'
    const about = reference === undefined ? `only with this ${flag}` : `only of this ${reference.slice(0, -1)}`
    command.option(`--${flag} <${what}>`, about)
  }
  command
    .option('--selector <key=value>', 'only with this label (repeatable: all of them)', collect)
    .option('--search <text>', 'only those whose name contains this text')
    .option('--limit <number>', 'stop after this many', wholeNumber(1))
  handle<ListOptions>(command, environment, async ({ options, runtime }) => {
    const [first, ...others] = (options.selector ?? []).map(parseLabel)
    const api = await runtime.api()
    const query = (await readFieldFlags(async () => api, filters, options)) as Record<string, string>
    if (first !== undefined) query.label = first.join('=')
    if (options.search !== undefined) query.search = options.search
    const items: AnyResource[] = []
    for await (const item of listAll(api, noun, query)) {
      if (others.every(([key, value]) => item.labels[key] === value)) items.push(item)
      if (items.length === options.limit) break
    }
    if (runtime.output.json) runtime.output.document(items)
    else await printTable(runtime, api, noun, items)
    return undefined
  })
}

interface ListOptions extends Record<string, unknown> {
  selector?: string[]
  search?: string
  limit?: number
}

async function printTable(runtime: Runtime, api: Api, noun: Noun, items: AnyResource[]): Promise<void> {
  if (items.length === 0) {
    const next =
      noun.verbs.create === undefined ? '' : ` \`freehold ${noun.plural} create --help\` shows how to make one.`
    runtime.output.note(`There are no ${noun.plural}.${next}`)
    return
  }
  const columns = columnsOf(noun.plural)
  const names = await namesOf(
    api,
    items,
    columns.flatMap(({ refers }) => (refers === undefined ? [] : [refers])),
  )
  const context = { now: runtime.io.now(), nameOfId: (id: unknown) => names.get(String(id)) ?? String(id) }
  runtime.output.table({
    columns: columns.map((column) => column.title),
    rows: items.map((item) => columns.map((column) => column.cell(item, context))),
  })
}

/** Names behind the ids in these fields: a few are asked for one by one, many by listing their noun. */
async function namesOf(api: Api, items: AnyResource[], fields: string[]): Promise<Map<string, string>> {
  const names = new Map<string, string>()
  for (const field of fields) {
    const plural = referenceOf(field)
    if (plural === undefined) continue
    const noun = findNoun(listNouns(), plural)
    const ids = new Set(items.flatMap(({ data }) => (typeof data[field] === 'string' ? [data[field]] : [])))
    const found = ids.size <= 5 ? findEach(api, noun, ids) : listAll(api, noun)
    for await (const item of found) names.set(item.id, nameOf(item))
  }
  return names
}

async function* findEach(api: Api, noun: Noun, ids: Iterable<string>): AsyncGenerator<AnyResource> {
  for (const id of ids) {
    const found = await findIfThere(api, noun, id)
    if (found !== undefined) yield found
  }
}

/** What a row refers to may be gone, or not ours to see; the row then shows the id. */
async function findIfThere(api: Api, noun: Noun, id: string): Promise<AnyResource | undefined> {
  try {
    return await find(api, noun, id)
  } catch (error) {
    if (error instanceof FreeholdError && (error.code === 'not-found' || error.code === 'forbidden')) return undefined
    throw error
  }
}

function addGet(parent: Command, noun: Noun, environment: Environment): void {
  const command = parent.command('get').description(`Show one ${noun.singular}, as YAML or JSON.`)
  command.argument(`<${noun.singular}>`, namedBy(noun))
  handle(command, environment, async ({ operands, runtime }) => {
    const resource = await find(await runtime.api(), noun, operand(operands, 0))
    if (runtime.output.json) runtime.output.document(resource)
    else runtime.io.out(stringify({ ...resource, data: orderKeys(noun.data, resource.data) }))
    return undefined
  })
}

function addAction(
  parent: Command,
  input: { noun: Noun; verb: string; summary: string; environment: Environment },
): void {
  const { noun, verb, summary, environment } = input
  const command = parent.command(verb).description(`${summary}.`).argument(`<${noun.singular}>`, namedBy(noun))
  handle(command, environment, async ({ operands, runtime }) => {
    const api = await runtime.api()
    const resource = await find(api, noun, operand(operands, 0))
    const route = noun.verbs[verb]
    if (route === undefined) throw new CliError(exitCodes.usage, `There is no ${noun.plural} ${verb}.`)
    const result = (await api.call(route, { params: { id: resource.id } })) as AnyResource
    const finding = findingOf(result)
    if (runtime.output.json) runtime.output.document(result)
    else if (finding !== undefined) runtime.output.line(finding.message)
    else runtime.output.line(toldOf(result, noun, verb))
    return finding?.working === false ? exitCodes.failed : undefined
  })
}

/** What a test answers: whether it works, and a sentence. */
function findingOf(result: object): { working: boolean; message: string } | undefined {
  if (!('working' in result && 'message' in result)) return undefined
  const { working, message } = result
  return typeof working === 'boolean' && typeof message === 'string' ? { working, message } : undefined
}

function addDelete(parent: Command, noun: Noun, environment: Environment): void {
  const command = parent
    .command('delete')
    .alias('rm')
    .description(`Delete ${noun.plural}. Asks first on a terminal.`)
    .argument(`<${noun.singular}...>`, namedBy(noun))
    .option('-y, --yes', 'do not ask')
    .addOption(new Option('--if-version <number>', 'only if it still has this version').argParser(wholeNumber(0)))
  handle<{ yes?: boolean; ifVersion?: number }>(command, environment, async ({ operands, options, runtime }) => {
    const api = await runtime.api()
    const route = noun.verbs.delete
    const resources: AnyResource[] = []
    for (const reference of operands) if (reference !== undefined) resources.push(await find(api, noun, reference))
    const names = resources.map(nameOf).join(', ')
    const { prompts } = runtime.io
    if (prompts !== null && options.yes !== true && !(await prompts.confirm(`Delete ${noun.singular} ${names}?`))) {
      throw new CliError(exitCodes.failed, 'Nothing was deleted.')
    }
    const query = options.ifVersion === undefined ? {} : { version: options.ifVersion }
    for (const { id } of resources) if (route !== undefined) await api.call(route, { params: { id }, query })
    const deleted = resources.map((resource) => ({ kind: resource.kind, id: resource.id, name: nameOf(resource) }))
    if (runtime.output.json) runtime.output.document({ deleted })
    else for (const { kind, name } of deleted) runtime.output.line(`Deleted ${kind} ${name}.`)
    return undefined
  })
}

/** How a command line may name a resource of this noun. */
function namedBy(noun: Noun): string {
  if (noun.plural === 'revisions') return 'service/number or id'
  if (noun.plural === 'rollouts') return 'id, or a service for its newest'
  if (noun.plural === 'release-rollouts') return 'id, or a channel for its newest'
  if (noun.plural === 'enrolments') return 'first characters or id'
  if (noun.plural === 'devices') return 'name, short id of the list, or id'
  if (noun.plural === 'releases') return 'product/version or id'
  if (noun.plural === 'builds') return 'id, or a hostname that only one build has'
  if (noun.plural === 'damaged-blobs') return 'digest or id'
  return 'name or id'
}

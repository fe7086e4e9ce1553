import { FreeholdError, routes } from '@freehold/contracts'
import type { Command } from 'commander'
import type { Api } from '../api.ts'
import { describePlan, type Plan, summary } from '../documents/describe-plan.ts'
import { documentText, readDocuments, type Sourced, writeDocuments } from '../documents/files.ts'
import { CliError, exitCodes } from '../exit-codes.ts'
import { type Environment, handle, operand, type Runtime } from '../runtime.ts'

/** Adds `export`, `plan` and `apply`: the desired state as a directory of YAML files. */
export function addDocuments(program: Command, environment: Environment): void {
  addExport(program, environment)
  addPlan(program, environment)
  addApply(program, environment)
}

function addExport(program: Command, environment: Environment): void {
  const command = program
    .command('export')
    .description('Write the desired state as YAML: to a directory one file a document, else to standard output.')
    .option('-o, --output <dir>', 'directory to write clusters/, external-registries/, images/ and services/ into')
    .option('--prune', 'with --output: remove YAML files in those folders that describe nothing of it')
  handle<{ output?: string; prune?: boolean }>(command, environment, async ({ options, runtime }) => {
    const { output, io } = runtime
    const { documents, version } = await (await runtime.api()).call(routes.plan.export)
    if (options.output === undefined) {
      if (output.json) output.document({ documents, version })
      else io.out(documents.map((document) => `---\n${documentText(document)}`).join(''))
      return undefined
    }
    const prune = options.prune === true
    const { written, others } = await writeDocuments(options.output, documents, { prune })
    if (output.json) {
      output.document({ version, written, [prune ? 'removed' : 'others']: others })
      return undefined
    }
    output.line(`Wrote ${written.length} documents to ${options.output}.`)
    if (others.length > 0) {
      output.note(
        prune
          ? `Removed ${others.length} files that described nothing of it.`
          : `These describe nothing of it (--prune removes them): ${others.join(', ')}`,
      )
    }
    return undefined
  })
}

function addPlan(program: Command, environment: Environment): void {
  const command = program
    .command('plan')
    .description('Show what `apply` would change, and what each agent would then do. Changes nothing.')
    .argument('<dir>', 'directory of documents, or one file')
    .option('--prune', 'plan to delete services, images and external registries that no document describes')
    .option('--exit-code', 'exit 2 where there are changes, 0 where there are none')
  handle<{ prune?: boolean; exitCode?: boolean }>(command, environment, async ({ operands, options, runtime }) => {
    const sourced = await readDocuments(operand(operands, 0))
    const plan = await preview(await runtime.api(), sourced, options.prune === true)
    if (runtime.output.json) runtime.output.document(plan)
    else for (const line of describePlan(plan, runtime.output.style)) runtime.output.line(line)
    return options.exitCode === true && plan.changes.length > 0 ? exitCodes.usage : exitCodes.ok
  })
}

interface ApplyOptions {
  prune?: boolean
  yes?: boolean
}

function addApply(program: Command, environment: Environment): void {
  const command = program
    .command('apply')
    .description('Show the plan, ask, and then do exactly that: all of it or, if anything changed meanwhile, nothing.')
    .argument('<dir>', 'directory of documents, or one file')
    .option('--prune', 'delete services, images and external registries that no document describes')
    .option('-y, --yes', 'do not ask; needed where there is no terminal')
  handle<ApplyOptions>(command, environment, async ({ operands, options, runtime }) => {
    const { output } = runtime
    const sourced = await readDocuments(operand(operands, 0))
    const api = await runtime.api()
    const prune = options.prune === true
    const plan = await preview(api, sourced, prune)
    if (!output.json) for (const line of describePlan(plan, output.style)) output.line(line)
    if (plan.changes.length === 0) {
      if (output.json) output.document({ changes: [] })
      return undefined
    }
    await agree(runtime, options)
    const body = { documents: sourced.map(({ document }) => document), prune, version: plan.version }
    const { changes } = await withSources(sourced, () => api.call(routes.plan.apply, { body }))
    if (output.json) output.document({ changes })
    else
      output.line(
        summary(changes)
          .replace('Plan:', 'Applied:')
          .replace(/ to (create|update|delete)/g, ' $1d'),
      )
    return undefined
  })
}

async function preview(api: Api, sourced: Sourced[], prune: boolean): Promise<Plan> {
  const documents = sourced.map(({ document }) => document)
  return withSources(sourced, () => api.call(routes.plan.preview, { body: { documents, prune } }))
}

async function agree(runtime: Runtime, options: ApplyOptions): Promise<void> {
  if (options.yes === true) return
  const { prompts } = runtime.io
  if (prompts === null) {
    throw new CliError(
      exitCodes.usage,
      'Nothing was applied: there is no terminal to ask.',
      'Read the plan and add --yes.',
    )
  }
  if (!(await prompts.confirm('Apply this?'))) throw new CliError(exitCodes.failed, 'Nothing was applied.')
}

/** Runs a request; faults the server finds in a document are told with its file and line. */
async function withSources<T>(sourced: Sourced[], request: () => Promise<T>): Promise<T> {
  try {
    return await request()
  } catch (error) {
    if (!(error instanceof FreeholdError)) throw error
    const details = error.details.map(({ path, message }) => {
      const [, index, rest = ''] = /^(?:body\.)?documents\.(\d+)\.?(.*)$/.exec(path) ?? []
      const source = index === undefined ? undefined : sourced[Number(index)]?.source
      const where = rest === '' ? [] : rest.split('.')
      return source === undefined ? { path, message } : { path: `${source.locate(where)}: ${rest}`, message }
    })
    throw new FreeholdError(error.code, error.message, { cause: error, details })
  }
}

import { type ChangeEntry, describeImageChange, routes } from '@freehold/contracts'
import { type Command, Option } from 'commander'
import { wholeNumber } from '../nouns/values.ts'
import { age, plain } from '../output/text.ts'
import { type Environment, handle } from '../runtime.ts'

const pageSize = 500

/** Adds `status` and `audit`. */
export function addStatus(program: Command, environment: Environment): void {
  const status = program.command('status').description('How everything stands, and what needs a person.')
  handle(status, environment, async ({ runtime: { api, io, output } }) => {
    const now = await (await api()).call(routes.status.get)
    if (output.json) {
      output.document(now)
      return undefined
    }
    const { counts } = now
    output.line(
      `Freehold ${now.version} at ${now.publicUrl} on ${now.store === 'sqlite' ? 'SQLite' : 'PostgreSQL'}, up for ${age(now.startedAt, io.now())}`,
    )
    output.line(
      [
        ...[count(counts.clusters, 'cluster'), count(counts.nodes, 'node'), count(counts.services, 'service')],
        ...[count(counts.images, 'image'), `${count(counts.activeRollouts, 'rollout')} under way`],
      ].join(', '),
    )
    if (counts.devices > 0) {
      output.line(
        `${count(counts.devices, 'device')} (${counts.offlineDevices} offline, ${counts.failedUpdateDevices} failed an update), ${count(counts.openReleaseRollouts, 'rollout')} of releases open (${counts.stoppedReleaseRollouts} stopped)`,
      )
    }
    if (now.problems.length === 0) output.line(output.style('green', 'All is well.'))
    for (const { severity, kind, name, message } of now.problems) {
      output.line(
        `${output.style(severity === 'error' ? 'red' : 'yellow', severity)}  ${kind} ${plain(name)}: ${plain(message)}`,
      )
    }
    return undefined
  })
  addAudit(program, environment)
}

function count(number: number, one: string): string {
  return `${number} ${number === 1 ? one : `${one}s`}`
}

interface AuditOptions {
  kind?: string
  id?: string
  limit: number
  observed?: boolean
}

function addAudit(program: Command, environment: Environment): void {
  const command = program
    .command('audit')
    .description('Who changed what, the newest first.')
    .option('--kind <kind>', 'only of this kind, such as service')
    .option('--id <id>', 'only of this resource')
    .option('--observed', 'also what agents and the control plane itself observed')
    .addOption(new Option('--limit <number>', 'how many entries').argParser(wholeNumber(1)).default(100))
  handle<AuditOptions>(command, environment, async ({ options, runtime: { api: open, output } }) => {
    const api = await open()
    const filters = {
      ...(options.kind === undefined ? {} : { kind: options.kind }),
      ...(options.id === undefined ? {} : { id: options.id }),
    }
    const entries: ChangeEntry[] = []
    let before: { before?: number } = {}
    while (entries.length < options.limit) {
      const { items } = await api.call(routes.audit.list, { query: { ...filters, ...before, limit: pageSize } })
      const wanted = items.filter(({ operation }) => options.observed === true || operation !== 'status')
      entries.push(...wanted.slice(0, options.limit - entries.length))
      const last = items.at(-1)
      if (last === undefined || items.length < pageSize) break
      before = { before: last.version }
    }
    if (output.json) output.document(entries)
    else {
      const rows = entries.map((entry) => [
        String(entry.version),
        entry.at,
        entry.actor.name,
        entry.operation,
        entry.kind,
        entry.id,
        whatOf(entry),
      ])
      output.table({ columns: ['VERSION', 'AT', 'WHO', 'DID', 'KIND', 'ID', 'WHAT'], rows })
    }
    return undefined
  })
}

/** The sentence for what happens in the registry, the name of everything else that has one. */
function whatOf(entry: ChangeEntry): string {
  const resource = (entry.after ?? entry.before) as { data?: { name?: unknown } } | null | undefined
  const name = resource?.data?.name
  return describeImageChange(entry) ?? (typeof name === 'string' ? name : '')
}

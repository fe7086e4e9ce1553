import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { parseArgs } from 'node:util'
import { apiPart } from './api.ts'
import { devicesPart } from './devices.ts'
import { imagesPart } from './images.ts'
import { describeMachine, type Machine } from './machine.ts'
import { memoryPart } from './memory.ts'
import { registryPart } from './registry.ts'
import { rolloutPart } from './rollout.ts'
import { isMet, type Part, type Row, ratioOf } from './row.ts'
import { startPart } from './start.ts'
import { storePart } from './store-rows.ts'
import { formatRows } from './table.ts'

/**
 * Measures Freehold beside its peers: `npm run bench [-- [--json] PART…]`. Slow figures never fail it; only a part that
 * is broken does.
 */
const parts: Part[] = [memoryPart, startPart, storePart, apiPart, devicesPart, imagesPart, registryPart, rolloutPart]
/** These start a container engine, which they do in namespaces of their own. */
const isolatedParts = [memoryPart.name, rolloutPart.name]

const { values, positionals } = parseArgs({
  options: { json: { type: 'boolean', default: false } },
  allowPositionals: true,
})
const unknown = positionals.find((name) => !parts.some((part) => part.name === name))
if (unknown === undefined) await measure(values.json)
else {
  process.stderr.write(`There is no part "${unknown}"; there are ${parts.map((part) => part.name).join(', ')}.\n`)
  process.exitCode = 2
}

async function measure(json: boolean): Promise<void> {
  const machine = await describeMachine()
  const rows: Row[] = []
  for (const part of parts) {
    if (positionals.length > 0 && !positionals.includes(part.name)) continue
    const apart = isolatedParts.includes(part.name) && process.env.FREEHOLD_LAB !== 'isolated'
    if (!values.json || apart) process.stderr.write(`measuring ${part.name} …\n`)
    rows.push(...(await rowsOrFault(part, () => (apart ? runApart(part) : part.run()))))
  }
  const judged = rows.map((row) => ({ ...row, ratio: ratioOf(row), met: isMet(row) }))
  const text = json
    ? JSON.stringify({ machine, rows: judged }, null, 2)
    : `${machineText(machine)}\n\n${formatRows(rows)}`
  process.stdout.write(`${text}\n`)
}

/** A broken part is told and makes the exit code 1; the others are measured all the same. */
async function rowsOrFault(part: Part, work: () => Promise<Row[]>): Promise<Row[]> {
  try {
    return await work()
  } catch (error) {
    process.exitCode = 1
    process.stderr.write(`${part.name}: ${error instanceof Error ? error.message : String(error)}\n`)
    return [
      {
        measure: part.name,
        unit: 'ms',
        ours: null,
        note: `broken: ${error instanceof Error ? error.message.split('\n')[0] : error}`,
      },
    ]
  }
}

/** Runs one part in namespaces of its own, where an engine can leave nothing behind. */
async function runApart(part: Part): Promise<Row[]> {
  if (process.getuid?.() !== 0) {
    return [{ measure: part.name, unit: 'ms', ours: null, note: 'starts a container engine and needs root' }]
  }
  const script = new URL('../isolated.ts', import.meta.url).pathname
  const child = spawn(process.execPath, [script, process.execPath, import.meta.filename, '--json', part.name], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.on('data', (chunk) => {
    output += chunk
  })
  const [code] = await once(child, 'close')
  if (output === '') throw new Error(`it ended with ${code} and said nothing`)
  if (code !== 0) process.exitCode = 1
  return (JSON.parse(output) as { rows: Row[] }).rows
}

function machineText({ cpu, cores, memoryMB, kernel, versions }: Machine): string {
  const list = Object.entries(versions).map(([name, version]) => `${name} ${version}`)
  return `${cpu}, ${cores} cores, ${memoryMB} MB, Linux ${kernel}\n${list.join(', ')}`
}

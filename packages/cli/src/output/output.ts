import type { Failure } from '../exit-codes.ts'
import type { Io } from '../io.ts'
import { formatTable, type Table } from './table.ts'
import { plain } from './text.ts'

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow'
const styleCodes: Record<Style, [number, number]> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
}

/** What commands print with: data on standard output, everything said besides on standard error. */
export interface Output {
  /** True where the caller wants JSON and nothing else on standard output. */
  json: boolean
  /** One JSON document, indented; called once by a command. */
  document(value: unknown): void
  /** One line of NDJSON. */
  record(value: unknown): void
  line(text?: string): void
  table(table: Table): void
  /** Progress and hints, on standard error. */
  note(text: string): void
  failure(failure: Failure): void
  style(style: Style, text: string): string
}

/** Colours only on a terminal, and never where NO_COLOR is set (https://no-color.org). */
export function createOutput(io: Io, options: { json: boolean }): Output {
  const noColor = (io.environment.NO_COLOR ?? '') !== '' || io.environment.TERM === 'dumb'
  const colored = io.terminal.stdout && !noColor && !options.json
  const style = (name: Style, text: string) => {
    const [on, off] = styleCodes[name]
    return colored ? `\u001b[${on}m${text}\u001b[${off}m` : text
  }
  return {
    json: options.json,
    document: (value) => io.out(`${JSON.stringify(value, null, 2)}\n`),
    record: (value) => io.out(`${JSON.stringify(value)}\n`),
    line: (text = '') => io.out(`${text}\n`),
    table: (table) => {
      const [head = '', ...rows] = formatTable(table, io.columns)
      io.out([style('bold', head), ...rows].map((line) => `${line}\n`).join(''))
    },
    note: (text) => io.error(`${text}\n`),
    failure: (failure) => io.error(options.json ? failureJson(failure) : failureText(failure)),
    style,
  }
}

/** A sentence, the faults one a line, and what to do. */
function failureText(failure: Failure): string {
  const lines = [`error: ${failure.message.split('\n').map(plain).join('\n')}`]
  const faults = failure.details.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`))
  // A single fault is the sentence already.
  if (faults.length > 1 || `${faults[0]}.` !== failure.message)
    lines.push(...faults.map((fault) => `  ${plain(fault)}`))
  if (failure.action !== undefined) lines.push(`  → ${plain(failure.action)}`)
  return `${lines.join('\n')}\n`
}

function failureJson(failure: Failure): string {
  const { exitCode, code, message, details, action } = failure
  return `${JSON.stringify({ error: { code, message, details, action: action ?? null, exitCode } })}\n`
}

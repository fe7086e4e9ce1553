import { isMet, type Row, ratioOf } from './row.ts'

const head = ['measure', 'ours', 'peer', 'ratio', 'target', '']

/** All rows as one table for a terminal, notes below it. */
export function formatRows(rows: readonly Row[]): string {
  const cells = [head, ...rows.map(cellsOf)]
  const widths = head.map((_, column) => Math.max(...cells.map((line) => (line[column] ?? '').length)))
  const lines = cells.map((line) =>
    line
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
  const notes = rows.flatMap((row) => (row.note === undefined ? [] : [`- ${row.measure}: ${row.note}`]))
  return [...lines, ...(notes.length === 0 ? [] : ['', ...notes])].join('\n')
}

function cellsOf(row: Row): string[] {
  const ratio = ratioOf(row)
  const met = isMet(row)
  return [
    row.measure,
    row.ours === null ? 'not measured' : withUnit(row.ours, row.unit),
    row.peer === undefined ? '' : `${withUnit(row.peer.value, row.unit)} ${row.peer.name}`,
    ratio === null ? '' : ratio.toFixed(2),
    targetText(row),
    met === null ? '' : met ? 'met' : 'NOT MET',
  ]
}

function targetText({ target, unit }: Row): string {
  if (target === undefined) return ''
  const text = (value: number) => (target.of === 'ratio' ? `${value} × peer` : withUnit(value, unit))
  if (target.atMost !== undefined) return `≤ ${text(target.atMost)}`
  return target.atLeast === undefined ? '' : `≥ ${text(target.atLeast)}`
}

function withUnit(value: number, unit: Row['unit']): string {
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2
  return `${value.toLocaleString('en-US', { maximumFractionDigits: digits })} ${unit}`
}

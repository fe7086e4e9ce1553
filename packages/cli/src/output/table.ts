import { displayWidth, plain, truncate } from './text.ts'

export interface Table {
  columns: string[]
  /** One cell a column. */
  rows: string[][]
}

const gap = '  '
const narrowestColumn = 6

/**
 * Lays a table out. `width` is the terminal's, in characters: columns wider than fits are cut with an ellipsis, the
 * widest first. Undefined (no terminal): nothing is ever cut.
 */
export function formatTable(table: Table, width: number | undefined): string[] {
  const lines = [table.columns, ...table.rows.map((row) => row.map((cell) => plain(cell).replaceAll('\t', ' ')))]
  const natural = table.columns.map((_, column) => Math.max(...lines.map((line) => displayWidth(line[column] ?? ''))))
  const widths = width === undefined ? natural : fit(natural, width)
  return lines.map((line) =>
    widths
      .map((columnWidth, column) => {
        const cell = truncate(line[column] ?? '', columnWidth)
        return cell + ' '.repeat(Math.max(0, columnWidth - displayWidth(cell)))
      })
      .join(gap)
      .trimEnd(),
  )
}

/** Column widths that fit: the widest gives way until all do, or none can any more. */
export function fit(natural: number[], width: number): number[] {
  const widths = [...natural]
  const total = () => widths.reduce((sum, each) => sum + each, 0) + gap.length * (widths.length - 1)
  while (total() > width) {
    const widest = Math.max(...widths)
    if (widest <= narrowestColumn) break
    widths[widths.indexOf(widest)] = widest - 1
  }
  return widths
}

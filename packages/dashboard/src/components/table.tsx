import {
  type ColumnDef,
  createSortedRowModel,
  type RowData,
  rowSortingFeature,
  sortFn_alphanumeric,
  sortFn_basic,
  tableFeatures,
  useTable,
} from '@tanstack/react-table'
import type { ReactNode } from 'react'
import { Button } from './button.tsx'
import { DownIcon } from './icons.tsx'
import { Scroller } from './scroller.tsx'

const features = tableFeatures({
  rowSortingFeature,
  sortedRowModel: createSortedRowModel(),
  sortFns: { alphanumeric: sortFn_alphanumeric, basic: sortFn_basic },
})
type Features = typeof features

/** A column: `value` sorts, `cell` draws. `from`: shown only where the screen is at least that wide. */
export interface Column<Row> {
  id: string
  header: string
  value?: (row: Row) => string | number
  cell: (row: Row) => ReactNode
  from?: 'sm' | 'md' | 'lg'
  align?: 'right'
}

const fromClass = { sm: 'max-sm:hidden', md: 'max-md:hidden', lg: 'max-lg:hidden' }

/** Makes columns once, at module level: a table whose columns are new at each drawing forgets its sorting. */
export function defineColumns<Row extends RowData>(columns: readonly Column<Row>[]): Columns<Row> {
  const byId = new Map(columns.map((column) => [column.id, column]))
  const defined = columns.map(
    ({ id, header, value, cell }): ColumnDef<Features, Row> => ({
      id,
      header,
      accessorFn: value ?? (() => ''),
      enableSorting: value !== undefined,
      sortFn: 'alphanumeric',
      cell: ({ row }) => cell(row.original),
    }),
  )
  return { byId, defined }
}
interface Columns<Row extends RowData> {
  byId: ReadonlyMap<string, Column<Row>>
  defined: ColumnDef<Features, Row>[]
}

export function Table<Row extends RowData>(props: {
  /** What the table is of, for screen readers. */
  label: string
  rows: Row[]
  rowId: (row: Row) => string
  columns: Columns<Row>
  more?: { hasMore: boolean; isLoading: boolean; load: () => void }
}) {
  const { label, rows, columns, more } = props
  const table = useTable({ features, columns: columns.defined, data: rows, getRowId: props.rowId })
  // The arrow stands on the inner side, so that a heading ends where its numbers do.
  const isRight = (id: string) => columns.byId.get(id)?.align === 'right'
  const classOf = (id: string) => {
    const column = columns.byId.get(id)
    return `${column?.from === undefined ? '' : fromClass[column.from]} ${isRight(id) ? 'text-right' : 'text-left'}`
  }
  return (
    <div className="flex flex-col gap-3">
      <Scroller
        label={`${label}, scrolls sideways`}
        className="overflow-x-auto rounded-lg border border-line bg-surface"
      >
        <table aria-label={label} className="w-full border-collapse text-sm">
          <thead>
            {table.getHeaderGroups().map((group) => (
              <tr key={group.id} className="border-b border-line">
                {group.headers.map((header) => {
                  const sorted = header.column.getIsSorted()
                  return (
                    <th
                      key={header.id}
                      scope="col"
                      aria-sort={sorted === 'asc' ? 'ascending' : sorted === 'desc' ? 'descending' : undefined}
                      className={`h-9 px-4 text-xs max-sm:px-3 font-medium whitespace-nowrap text-muted ${classOf(header.column.id)}`}
                    >
                      {header.column.getCanSort() ? (
                        <button
                          type="button"
                          className={`-mx-1 inline-flex align-middle items-center gap-0.5 rounded px-1 hover:text-ink ${isRight(header.column.id) ? 'flex-row-reverse' : ''}`}
                          onClick={header.column.getToggleSortingHandler()}
                        >
                          <table.FlexRender header={header} />
                          <DownIcon
                            width="11"
                            height="11"
                            className={sorted === false ? 'invisible' : sorted === 'asc' ? 'rotate-180' : ''}
                          />
                        </button>
                      ) : (
                        <table.FlexRender header={header} />
                      )}
                    </th>
                  )
                })}
              </tr>
            ))}
          </thead>
          <tbody>
            {table.getRowModel().rows.map((row) => (
              <tr key={row.id} className="border-b border-line last:border-0 hover:bg-sunken/60">
                {row.getAllCells().map((cell) => (
                  <td key={cell.id} className={`h-11 px-4 py-1.5 max-sm:px-3 align-middle ${classOf(cell.column.id)}`}>
                    <table.FlexRender cell={cell} />
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </Scroller>
      {more?.hasMore === true && (
        <Button className="self-center" busy={more.isLoading} onClick={more.load}>
          Load more
        </Button>
      )}
    </div>
  )
}

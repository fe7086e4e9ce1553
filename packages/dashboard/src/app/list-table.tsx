import type { ReactNode } from 'react'
import { ErrorNote } from '../components/error-note.tsx'
import { Skeleton } from '../components/page.tsx'
import { Table } from '../components/table.tsx'

type TableProps<Row extends object> = Parameters<typeof Table<Row>>[0]

/**
 * The table of a list that is read page by page: what went wrong, that it is on its way, its rows, or `empty` where it
 * is known to have none. `isPending`: where what `empty` says needs more than the list.
 */
export function ListTable<Row extends object>(props: {
  label: string
  list: { isPending: boolean; error: unknown; hasMore: boolean; isLoadingMore: boolean; more: () => void }
  rows: Row[]
  isPending?: boolean
  rowId: TableProps<Row>['rowId']
  columns: TableProps<Row>['columns']
  skeletonRows: number
  empty: ReactNode
}) {
  const { label, list, rows, isPending = list.isPending, rowId, columns } = props
  const more = { hasMore: list.hasMore, isLoading: list.isLoadingMore, load: list.more }
  return (
    <>
      <ErrorNote error={list.error} />
      {isPending ? (
        <Skeleton rows={props.skeletonRows} />
      ) : rows.length > 0 ? (
        <Table label={label} rows={rows} rowId={rowId} columns={columns} more={more} />
      ) : (
        list.error === null && props.empty
      )}
    </>
  )
}

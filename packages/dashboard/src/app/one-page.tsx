import { ApiError } from '@freehold/client'
import type { UseQueryResult } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { ErrorNote } from '../components/error-note.tsx'
import { Page, Skeleton } from '../components/page.tsx'
import { Gone } from './fallbacks.tsx'

/**
 * The page of one thing: what `children` make of it, and until then that it is on its way, failed, or does not exist.
 * `gone`: codes of errors that mean the last.
 */
export function OnePage<Item>(props: {
  query: UseQueryResult<Item | null>
  title: string
  what: string
  list: { to: Parameters<typeof Gone>[0]['to']; label: string }
  gone?: readonly string[]
  children: (item: Item) => ReactNode
}) {
  const { query, title, what, list, gone = ['not-found'], children } = props
  if (query.data === null || (query.error instanceof ApiError && gone.includes(query.error.code))) {
    return <Gone what={what} to={list.to} />
  }
  if (query.data === undefined) {
    return (
      <Page title={title} parent={list}>
        <ErrorNote error={query.error} onRetry={() => void query.refetch()} />
        {query.isPending && <Skeleton rows={8} />}
      </Page>
    )
  }
  return children(query.data)
}

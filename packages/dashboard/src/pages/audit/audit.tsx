import { type ChangeEntry, describeImageChange, kinds } from '@freehold/contracts'
import { keepPreviousData, useInfiniteQuery } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { useState } from 'react'
import { useClient } from '../../app/client.tsx'
import { changedFields } from '../../app/diff.ts'
import { useMay } from '../../app/session.ts'
import { Button, ButtonLink } from '../../components/button.tsx'
import { ErrorNote } from '../../components/error-note.tsx'
import { CheckField, inputClass } from '../../components/field.tsx'
import { Empty, Page, Skeleton } from '../../components/page.tsx'
import { Ago } from '../../components/time.tsx'
import { describeChange, nameOf } from './describe.ts'

const route = getRouteApi('/shell/audit')
const limit = 100

export function AuditPage() {
  const { kind, id } = route.useSearch()
  const navigate = route.useNavigate()
  const may = useMay()
  const client = useClient()
  const [withObservations, setWithObservations] = useState(false)
  const audit = useInfiniteQuery({
    queryKey: ['audit', kind, id],
    enabled: may('audit:read'),
    initialPageParam: undefined as number | undefined,
    queryFn: ({ pageParam, signal }) => client.audit.list({ query: { limit, kind, id, before: pageParam }, signal }),
    placeholderData: keepPreviousData,
    getNextPageParam: ({ items }) => (items.length < limit ? undefined : items.at(-1)?.version),
  })
  if (!may('audit:read')) {
    return (
      <Page title="Audit log">
        <Empty title="Your role may not read the audit log.">Ask an administrator.</Empty>
      </Page>
    )
  }
  const all = audit.data?.pages.flatMap(({ items }) => items) ?? []
  const entries = withObservations ? all : all.filter(({ operation }) => operation !== 'status')
  return (
    <Page
      title="Audit log"
      lead="Who changed what, newest first. Entries are chained by hash, so none can be altered unseen."
    >
      <search className="flex flex-wrap items-center gap-x-4 gap-y-2">
        <select
          aria-label="Kind"
          value={kind ?? ''}
          onChange={(event) => void navigate({ search: event.target.value === '' ? {} : { kind: event.target.value } })}
          className={`${inputClass} w-auto!`}
        >
          <option value="">All kinds</option>
          {Object.values(kinds).map(({ name }) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
        <CheckField label="Show what agents observed too" checked={withObservations} onChange={setWithObservations} />
        {id !== undefined && (
          <ButtonLink to="/audit" search={kind === undefined ? {} : { kind }}>
            Show all, not only one
          </ButtonLink>
        )}
      </search>
      <ErrorNote error={audit.error} onRetry={() => void audit.refetch()} />
      {audit.isPending ? (
        <Skeleton rows={8} />
      ) : entries.length === 0 ? (
        audit.error === null && (
          <Empty
            title={all.length === 0 ? 'No entries.' : 'Nobody changed anything lately; there are only observations.'}
          />
        )
      ) : (
        <ol aria-label="Audit log" className="divide-y divide-line rounded-lg border border-line bg-surface">
          {entries.map((entry) => (
            <li key={entry.version}>
              <Entry entry={entry} />
            </li>
          ))}
        </ol>
      )}
      {audit.hasNextPage && (
        <Button className="self-center" busy={audit.isFetchingNextPage} onClick={() => void audit.fetchNextPage()}>
          Load older
        </Button>
      )}
    </Page>
  )
}

function Entry({ entry }: { entry: ChangeEntry }) {
  const inRegistry = describeImageChange(entry)
  return (
    <details className="group">
      <summary className="flex flex-wrap items-baseline gap-x-3 gap-y-0.5 px-4 py-2.5 text-sm hover:bg-sunken focus-visible:-outline-offset-2">
        <span className="min-w-0 flex-1 basis-64">
          <span className="font-medium">{entry.actor.name}</span>{' '}
          {inRegistry === undefined ? (
            <>
              {describeChange(entry)} <span className="text-muted">{entry.kind}</span>{' '}
              <span className="font-medium break-all">{nameOf(entry)}</span>
            </>
          ) : (
            <span className="break-all">{inRegistry}</span>
          )}
        </span>
        <span className="text-xs text-muted">
          <Ago at={entry.at} />
        </span>
      </summary>
      <Details entry={entry} />
    </details>
  )
}

function Details({ entry }: { entry: ChangeEntry }) {
  const fields = changedFields(partOf(entry.before), partOf(entry.after)).slice(0, 100)
  return (
    <div className="flex flex-col gap-2 px-4 pb-3 text-xs">
      {entry.operation === 'update' && fields.length > 0 && (
        <ul className="flex flex-col gap-1 font-mono">
          {fields.map(({ path, from, to }) => (
            <li key={path} className="break-all">
              <span className="text-muted">{path}:</span> {show(from)} → {show(to)}
            </li>
          ))}
        </ul>
      )}
      <p className="flex flex-wrap gap-x-4 gap-y-1 text-muted">
        <span>version {entry.version}</span>
        <span>{new Date(entry.at).toLocaleString()}</span>
        <span>
          {entry.actor.type} {entry.actor.id}
        </span>
        <code className="font-mono break-all" title="Hash of this entry over the one before">
          {entry.hash.slice(0, 16)}
        </code>
        <Link to="/audit" search={{ kind: entry.kind, id: entry.id }} className="text-accent underline">
          Only this {entry.kind}
        </Link>
      </p>
    </div>
  )
}

/** What people change of a resource. */
function partOf(resource: unknown): unknown {
  if (typeof resource !== 'object' || resource === null) return {}
  const { data, labels } = resource as { data?: unknown; labels?: unknown }
  return { data, labels }
}

function show(value: unknown): string {
  if (value === undefined) return 'nothing'
  const text = JSON.stringify(value)
  return text.length > 300 ? `${text.slice(0, 300)}…` : text
}

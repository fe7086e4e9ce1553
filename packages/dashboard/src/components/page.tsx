import { Link } from '@tanstack/react-router'
import { type ReactNode, useEffect } from 'react'
import { ChevronIcon } from './icons.tsx'

export function Page(props: {
  title: string
  /** Beside the title: the state. */
  mark?: ReactNode
  /** Under the title, one sentence. */
  lead?: ReactNode
  actions?: ReactNode
  /** Above the title: links to the pages that belong together. */
  places?: ReactNode
  /** The list this is one of. */
  parent?: {
    to:
      | '/clusters'
      | '/devices'
      | '/services'
      | '/images'
      | '/images/$id'
      | '/releases'
      | '/release-rollouts'
      | '/channels'
      | '/builds'
    params?: { id: string }
    label: string
  }
  children: ReactNode
}) {
  const { title, parent } = props
  useEffect(() => {
    document.title = `${title} · Freehold`
  }, [title])
  return (
    <div className="flex flex-col gap-6">
      {props.places}
      <header className="flex flex-wrap items-start justify-between gap-x-4 gap-y-3">
        <div className="flex min-w-0 flex-col gap-1">
          {parent !== undefined && (
            <nav aria-label="Breadcrumb" className="flex items-center gap-1 text-xs wrap-anywhere text-muted">
              <Link to={parent.to} params={parent.params ?? {}} className="hover:text-ink hover:underline">
                {parent.label}
              </Link>
              <ChevronIcon width="11" height="11" />
            </nav>
          )}
          <div className="flex min-h-8 flex-wrap items-center gap-x-3 gap-y-1">
            <h1 className="text-xl font-semibold tracking-tight wrap-anywhere">{title}</h1>
            {props.mark}
          </div>
          {props.lead !== undefined && <div className="max-w-prose text-muted">{props.lead}</div>}
        </div>
        {props.actions !== undefined && <div className="flex flex-wrap items-center gap-2">{props.actions}</div>}
      </header>
      {props.children}
    </div>
  )
}

/** A titled part of a page. `flush`: its content brings its own edges, as a table does. */
export function Section(props: {
  title: string
  actions?: ReactNode
  flush?: boolean
  children: ReactNode
  lead?: ReactNode
}) {
  return (
    <section aria-label={props.title} className="flex min-w-0 flex-col gap-2.5">
      <div className="flex min-h-8 flex-wrap items-center justify-between gap-2">
        <div>
          <h2 className="text-sm font-semibold">{props.title}</h2>
          {props.lead !== undefined && <p className="text-sm text-muted">{props.lead}</p>}
        </div>
        {props.actions !== undefined && <div className="flex flex-wrap items-center gap-2">{props.actions}</div>}
      </div>
      {props.flush === true ? props.children : <Card>{props.children}</Card>}
    </section>
  )
}

export function Card({ children }: { children: ReactNode }) {
  return <div className="flex min-w-0 flex-col gap-4 rounded-lg border border-line bg-surface p-4">{children}</div>
}

/** Names and values, two columns where there is room. */
export function Facts({ facts }: { facts: readonly (readonly [name: string, value: ReactNode])[] }) {
  return (
    <dl className="grid grid-cols-[repeat(auto-fill,minmax(min(100%,13rem),1fr))] gap-x-6 gap-y-3">
      {facts.map(([name, value]) => (
        <div key={name} className="min-w-0">
          <dt className="text-xs text-muted">{name}</dt>
          <dd className="text-sm break-words">{value}</dd>
        </div>
      ))}
    </dl>
  )
}

/** Nothing here yet: why, and what to do next. */
export function Empty({ title, children, action }: { title: string; children?: ReactNode; action?: ReactNode }) {
  return (
    <div className="flex flex-col items-center gap-3 rounded-lg border border-dashed border-line px-4 py-10 text-center">
      <p className="font-medium">{title}</p>
      {children !== undefined && (
        <div className="flex max-w-prose min-w-0 flex-col gap-2 text-sm text-muted">{children}</div>
      )}
      {action}
    </div>
  )
}

/** An empty part that needs nobody: one line, no invitation. */
export function Quiet({ children }: { children: ReactNode }) {
  return <p className="rounded-lg border border-line bg-surface px-4 py-3 text-sm text-muted">{children}</p>
}

/** Holds the place of what is being read, at about its height, so that nothing jumps. */
export function Skeleton({ rows = 3 }: { rows?: number }) {
  return (
    <div
      role="status"
      aria-label="Loading"
      className="flex flex-col overflow-hidden rounded-lg border border-line bg-surface"
    >
      {Array.from({ length: rows }, (_, row) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the rows are all the same and never change.
        <div key={row} className="flex h-11 items-center gap-4 border-b border-line px-4 last:border-0">
          <div className="h-3 w-1/3 animate-pulse rounded bg-sunken" />
          <div className="h-3 w-1/5 animate-pulse rounded bg-sunken" />
        </div>
      ))}
    </div>
  )
}

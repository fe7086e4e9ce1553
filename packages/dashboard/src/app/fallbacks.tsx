import type { ErrorComponentProps } from '@tanstack/react-router'
import { ButtonLink } from '../components/button.tsx'
import { ErrorNote } from '../components/error-note.tsx'
import { Empty } from '../components/page.tsx'

/** An address no page has. */
export function Missing() {
  return (
    <main className="mx-auto max-w-xl px-4 py-16">
      <h1 className="sr-only">Not found</h1>
      <Empty title="There is no page at this address." action={<ButtonLink to="/">Go to the overview</ButtonLink>} />
    </main>
  )
}

/** A page that failed to draw, or whose file a newer version has replaced. */
export function Crashed({ error }: ErrorComponentProps) {
  return (
    <main className="mx-auto max-w-xl px-4 py-16">
      <h1 className="sr-only">The page failed</h1>
      <ErrorNote error={error} onRetry={() => location.reload()} />
    </main>
  )
}

/** The resource of a page is gone, or never was. */
export function Gone({
  what,
  to,
}: {
  what: string
  to: '/clusters' | '/devices' | '/services' | '/images' | '/releases' | '/release-rollouts' | '/builds'
}) {
  return (
    <>
      <h1 className="sr-only">Not found</h1>
      <Empty
        title={`This ${what} does not exist, or was deleted.`}
        action={<ButtonLink to={to}>Back to the list</ButtonLink>}
      />
    </>
  )
}

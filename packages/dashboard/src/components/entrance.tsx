import { type ReactNode, useEffect } from 'react'
import { BrandMark } from '../app/navigation.tsx'

/** The frame of the pages before the sign-in. */
export function Entrance({ title, lead, children }: { title: string; lead?: ReactNode; children: ReactNode }) {
  useEffect(() => {
    document.title = `${title} · Freehold`
  }, [title])
  return (
    <main className="mx-auto flex min-h-dvh max-w-sm flex-col justify-center gap-6 px-4 py-12">
      <div className="flex flex-col gap-3">
        <BrandMark />
        <div className="flex flex-col gap-1">
          <h1 className="text-xl font-semibold tracking-tight">{title}</h1>
          {lead !== undefined && <div className="text-muted">{lead}</div>}
        </div>
      </div>
      <div className="rounded-xl border border-line bg-surface p-5">{children}</div>
    </main>
  )
}

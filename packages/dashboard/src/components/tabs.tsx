import * as Radix from 'radix-ui/tabs'
import type { ReactNode } from 'react'

/** Views of one thing; which one is open is the caller's to keep, best in the address. */
export function Tabs<Name extends string>(props: {
  label: string
  tabs: readonly { name: Name; label: string }[]
  open: Name
  onOpen: (name: Name) => void
  children: ReactNode
}) {
  return (
    <Radix.Root value={props.open} onValueChange={(name) => props.onOpen(name as Name)} className="flex flex-col gap-5">
      <Radix.List
        aria-label={props.label}
        className="flex gap-1 overflow-x-auto overflow-y-hidden border-b border-line"
      >
        {props.tabs.map(({ name, label }) => (
          <Radix.Trigger
            key={name}
            value={name}
            className="h-9 border-b-2 border-transparent px-3 text-sm font-medium whitespace-nowrap text-muted hover:text-ink focus-visible:-outline-offset-2 data-[state=active]:border-accent data-[state=active]:text-ink"
          >
            {label}
          </Radix.Trigger>
        ))}
      </Radix.List>
      {props.children}
    </Radix.Root>
  )
}

export function TabPanel({ name, children }: { name: string; children: ReactNode }) {
  return (
    <Radix.Content value={name} className="flex flex-col gap-6">
      {children}
    </Radix.Content>
  )
}

import type { ComponentProps } from 'react'

/** A part that scrolls by itself: named, and reachable by keyboard, because arrow keys scroll what has focus. */
export function Scroller({ label, ...rest }: Omit<ComponentProps<'section'>, 'tabIndex'> & { label: string }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: without it nobody can scroll here by keyboard (WCAG 2.2, 2.1.1).
    <section {...rest} aria-label={label} tabIndex={0} />
  )
}

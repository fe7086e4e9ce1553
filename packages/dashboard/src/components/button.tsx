import { createLink } from '@tanstack/react-router'
import type { AnchorHTMLAttributes, ButtonHTMLAttributes, Ref } from 'react'

const looks = {
  primary: 'bg-accent text-accent-ink hover:bg-accent-hover border-transparent',
  secondary: 'bg-surface text-ink border-line hover:bg-sunken',
  quiet: 'bg-transparent text-muted border-transparent hover:bg-sunken hover:text-ink',
  danger: 'bg-surface text-bad border-line hover:bg-bad-soft hover:border-bad',
  destructive: 'bg-bad text-surface border-transparent hover:bg-bad-hover',
}
type Look = keyof typeof looks
const base =
  'inline-flex items-center justify-center gap-1.5 rounded-md border px-3 h-8 text-sm font-medium whitespace-nowrap select-none transition-colors disabled:opacity-55 disabled:cursor-not-allowed aria-disabled:opacity-55 max-sm:h-9'

function classOf(look: Look, extra: string | undefined): string {
  return `${base} ${looks[look]} ${extra ?? ''}`
}

export interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  look?: Look
  /** Shown as busy and not pressable; says so to screen readers. */
  busy?: boolean
  ref?: Ref<HTMLButtonElement>
}

export function Button({ look = 'secondary', busy = false, className, disabled, children, ...rest }: ButtonProps) {
  return (
    <button
      type="button"
      {...rest}
      disabled={disabled === true || busy}
      aria-busy={busy || undefined}
      className={classOf(look, className)}
    >
      {busy && (
        <span
          className="size-3 animate-spin rounded-full border-2 border-current border-t-transparent"
          aria-hidden="true"
        />
      )}
      {children}
    </button>
  )
}

/** A button of one icon; `label` is what it is called. */
export function IconButton({ label, className, ...rest }: ButtonProps & { label: string }) {
  return (
    <Button
      look="quiet"
      {...rest}
      aria-label={label}
      title={label}
      className={`w-8 px-0! max-sm:w-9 ${className ?? ''}`}
    />
  )
}

interface AnchorProps extends AnchorHTMLAttributes<HTMLAnchorElement> {
  look?: Look
}
function Anchor({ look = 'secondary', className, children, ...rest }: AnchorProps) {
  return (
    <a {...rest} className={classOf(look, className)}>
      {children}
    </a>
  )
}

/** A link that looks like a button. */
export const ButtonLink = createLink(Anchor)

import * as Radix from 'radix-ui/dropdown-menu'
import type { ComponentProps, ReactNode } from 'react'
import { IconButton } from './button.tsx'
import { MoreIcon } from './icons.tsx'

/** A menu under a button. Not modal: a modal one would write a style element, which a strict policy refuses. */
export function Menu({ trigger, children, label }: { trigger: ReactNode; children: ReactNode; label: string }) {
  return (
    <Radix.Root modal={false}>
      <Radix.Trigger asChild>{trigger}</Radix.Trigger>
      <Radix.Portal>
        <Radix.Content
          align="end"
          sideOffset={4}
          collisionPadding={8}
          aria-label={label}
          className="z-40 min-w-44 rounded-lg border border-line bg-surface p-1 shadow-lg"
        >
          {children}
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  )
}

/** What can be done with one thing, under three dots. */
export function ActionsMenu(
  props: Pick<ComponentProps<typeof IconButton>, 'label' | 'look'> & { children: ReactNode },
) {
  const { children, ...button } = props
  return (
    <Menu
      label={button.label}
      trigger={
        <IconButton {...button}>
          <MoreIcon />
        </IconButton>
      }
    >
      {children}
    </Menu>
  )
}

const itemClass =
  'flex h-8 w-full items-center gap-2 rounded-md px-2 text-sm outline-none select-none data-highlighted:bg-sunken data-disabled:opacity-50 max-sm:h-10'

export function MenuItem(props: { onSelect: () => void; disabled?: boolean; danger?: boolean; children: ReactNode }) {
  return (
    <Radix.Item
      disabled={props.disabled ?? false}
      onSelect={props.onSelect}
      className={`${itemClass} ${props.danger === true ? 'text-bad' : ''}`}
    >
      {props.children}
    </Radix.Item>
  )
}

export function MenuChoice(props: {
  label: string
  value: string
  choices: readonly string[]
  onChoose: (value: string) => void
}) {
  return (
    <Radix.RadioGroup value={props.value} onValueChange={props.onChoose}>
      <Radix.Label className="px-2 pt-2 pb-1 text-xs text-muted">{props.label}</Radix.Label>
      {props.choices.map((choice) => (
        <Radix.RadioItem key={choice} value={choice} className={itemClass}>
          <span className="flex-1 capitalize">{choice}</span>
          <Radix.ItemIndicator>✓</Radix.ItemIndicator>
        </Radix.RadioItem>
      ))}
    </Radix.RadioGroup>
  )
}

export function MenuSeparator() {
  return <Radix.Separator className="my-1 h-px bg-line" />
}

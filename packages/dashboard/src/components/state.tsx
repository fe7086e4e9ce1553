import type { ComponentType } from 'react'
import { BadIcon, GoodIcon, type IconProps, IdleIcon, MovingIcon, UnknownIcon, WaitIcon, WarnIcon } from './icons.tsx'
import type { Tone } from './tones.ts'
import { toneOf } from './tones.ts'

const looks: Record<Tone, { icon: ComponentType<IconProps>; className: string }> = {
  good: { icon: GoodIcon, className: 'bg-good-soft text-good' },
  warn: { icon: WarnIcon, className: 'bg-warn-soft text-warn' },
  bad: { icon: BadIcon, className: 'bg-bad-soft text-bad' },
  moving: { icon: MovingIcon, className: 'bg-accent-soft text-accent' },
  waiting: { icon: WaitIcon, className: 'bg-idle-soft text-idle' },
  idle: { icon: IdleIcon, className: 'bg-idle-soft text-idle' },
  unknown: { icon: UnknownIcon, className: 'bg-idle-soft text-idle' },
}

/** A state in a word, with an icon and a colour that say the same. */
export function State({ state, label, title }: { state: string; label?: string; title?: string | undefined }) {
  const { icon: Icon, className } = looks[toneOf(state)]
  return (
    <span
      className={`inline-flex h-5.5 items-center gap-1 rounded-full pr-2 pl-1.5 text-xs font-medium whitespace-nowrap ${className}`}
      title={title}
    >
      <Icon width="13" height="13" />
      {label ?? wordsOf(state)}
    </span>
  )
}

/** A plain mark beside a name, such as "serving" or "leader". */
export function Tag({ children, tone = 'idle' }: { children: string; tone?: Tone }) {
  return (
    <span className={`inline-block rounded px-1.5 py-px text-2xs font-medium ${looks[tone].className}`}>
      {children}
    </span>
  )
}

function wordsOf(state: string): string {
  const words = state.replaceAll('-', ' ')
  return words.charAt(0).toUpperCase() + words.slice(1)
}

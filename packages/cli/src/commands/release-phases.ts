import type { releasePhaseSchema, releaseWindowSchema } from '@freehold/contracts'
import type { z } from 'zod'
import { CliError, exitCodes } from '../exit-codes.ts'

type Phase = Omit<z.input<typeof releasePhaseSchema>, 'groupId'> & { group?: string }

/** Reads a phase as people write it: `5%`, `20`, `rest`, then terms: `25%,soak=60,errors=2,approval`. */
export function parsePhase(text: string): Phase {
  const [size = '', ...terms] = text.split(',').map((part) => part.trim())
  const phase: Phase = { ...sizeOf(size, text) }
  for (const term of terms) Object.assign(phase, termOf(term, text))
  return phase
}

/** Reads a window as people write it: `22:00-05:00`, or with the days it begins on, `sat,sun@08:00-12:00`. */
export function parseWindow(text: string): z.input<typeof releaseWindowSchema> {
  const match = /^(?:([a-z]{3}(?:,[a-z]{3})*)@)?(\d\d:\d\d)-(\d\d:\d\d)$/.exec(text)
  const [, days, from, to] = match ?? []
  const named = days?.split(',')
  if (from === undefined || to === undefined || named?.some((day) => !weekdays.includes(day as Weekday))) {
    throw new CliError(exitCodes.usage, `"${text}" is no window.`, 'Write 22:00-05:00, or sat,sun@08:00-12:00.')
  }
  if (from === to) {
    throw new CliError(
      exitCodes.usage,
      `The window ${text} ends when it begins, so that it is never open.`,
      'Leave --window out for any time of the day, or give it an end.',
    )
  }
  return { from, to, ...(named === undefined ? {} : { days: named as Weekday[] }) }
}

const weekdays = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const
type Weekday = (typeof weekdays)[number]

function sizeOf(size: string, text: string): Phase {
  if (size === 'rest') return {}
  const percent = /^(\d{1,3}(?:\.\d{1,6})?)%$/.exec(size)?.[1]
  if (percent !== undefined && Number(percent) <= 100) return { percent: Number(percent) }
  if (/^[1-9]\d{0,8}$/.test(size)) return { count: Number(size) }
  throw wrong(text, 'It begins with a percentage of all devices (5%), a number of them (20), or `rest`.')
}

function termOf(term: string, text: string): Phase {
  if (term === 'approval') return { approval: true }
  const [name = '', value = ''] = term.split('=', 2)
  if (name === 'group' && value !== '') return { group: value }
  const isNumber = /^\d{1,5}(\.\d{1,6})?$/.test(value)
  if (name === 'success' && isNumber) return { successPercent: Number(value) }
  if (name === 'errors' && isNumber) return { errorPercent: Number(value) }
  if (name === 'soak' && /^\d{1,5}$/.test(value)) return { soakMinutes: Number(value) }
  throw wrong(text, 'Terms are group=NAME, success=PERCENT, errors=PERCENT, soak=MINUTES and approval.')
}

function wrong(text: string, action: string): CliError {
  return new CliError(exitCodes.usage, `--phase ${text}: that is no phase.`, action)
}

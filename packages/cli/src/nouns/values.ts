import { InvalidArgumentError } from 'commander'
import { parse } from 'yaml'
import { CliError, exitCodes } from '../exit-codes.ts'

/** Commander's reducer for a flag that may be repeated. */
export function collect(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value]
}

/** Commander's parser for a whole number from `least` on. */
export function wholeNumber(least: number, most?: number): (value: string) => number {
  return (value) => {
    if (!/^\d{1,9}$/.test(value) || Number(value) < least || Number(value) > (most ?? Infinity)) {
      throw new InvalidArgumentError(
        `A whole number from ${least} ${most === undefined ? 'on' : `to ${most}`} is expected.`,
      )
    }
    return Number(value)
  }
}

/** Commander's parser for a time limit in seconds. */
export function positiveSeconds(value: string): number {
  const seconds = Number(value)
  if (!Number.isFinite(seconds) || seconds <= 0 || seconds > 1_000_000) {
    throw new InvalidArgumentError('Seconds are expected, such as 30.')
  }
  return seconds
}

/** A number given to a flag. */
export function numberOf(flag: string, text: string): number {
  const value = Number(text)
  if (text.trim() === '' || Number.isNaN(value)) {
    throw new CliError(exitCodes.usage, `${flag} ${text}: a number is expected.`, 'Write digits alone, without a unit.')
  }
  return value
}

/** An argument array given to a flag: a YAML array of texts, or a single word. */
export function words(flag: string, text: string): string[] {
  if (!text.trim().startsWith('[')) return [text]
  let value: unknown
  try {
    value = parse(text)
  } catch {
    value = undefined
  }
  if (Array.isArray(value) && value.every((item) => typeof item === 'string' || typeof item === 'number')) {
    return value.map(String)
  }
  throw new CliError(
    exitCodes.usage,
    `${flag} ${text}: an array of texts is expected.`,
    `For example ${flag} '["nginx", "-g", "daemon off;"]'.`,
  )
}

/** Reads `key=value`. */
export function parseLabel(text: string): [string, string] {
  const at = text.indexOf('=')
  if (at < 1) throw new CliError(exitCodes.usage, `"${text}" is no label.`, 'Write key=value.')
  return [text.slice(0, at), text.slice(at + 1)]
}

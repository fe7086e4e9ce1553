import { stripVTControlCharacters } from 'node:util'

/** Besides control characters, what turns the direction of writing or is not seen; joiners of scripts and emoji stay. */
const controlCharacters = /(?![\t\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu
// biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character is named to be left out.
const controlCharactersButEscape = /(?![\t\u{1b}\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu
// biome-ignore lint/suspicious/noControlCharactersInRegex: an escape sequence begins with one.
const escapeSequences = /\u001b(?!\[[0-9;]*m)(\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(\u0007|\u001b\\)?|.)?/g

/** Text from elsewhere on one line, without anything a terminal would obey. */
export function plain(text: string): string {
  return stripVTControlCharacters(text).replace(/\r?\n/g, ' ').replace(controlCharacters, '')
}

/** A log line for a terminal: colours stay, whatever else would move the cursor or retitle the window goes. */
export function safeLogLine(line: string): string {
  return line.replace(escapeSequences, '').replace(controlCharactersButEscape, '')
}

/** Characters a terminal shows for this text; escape sequences count nothing. */
export function displayWidth(text: string): number {
  return [...stripVTControlCharacters(text)].length
}

/** Cuts to `width` characters, the last of them an ellipsis where something was cut. */
export function truncate(text: string, width: number): string {
  const characters = [...text]
  if (characters.length <= width) return text
  return `${characters.slice(0, Math.max(0, width - 1)).join('')}…`
}

/** How long ago, in the largest unit that is at least one: `5s`, `3m`, `7h`, `12d`. */
export function age(from: string, now: Date): string {
  const seconds = Math.max(0, Math.round((now.getTime() - Date.parse(from)) / 1000))
  if (Number.isNaN(seconds)) return ''
  if (seconds < 60) return `${seconds}s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m`
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h`
  return `${Math.floor(seconds / 86_400)}d`
}

/** Bytes for people, in powers of 1024. */
export function bytes(count: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = count
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`
}

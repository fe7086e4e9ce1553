import type { Redactor } from './secret.ts'

/** Where the agent says what it does. */
export interface Log {
  info(message: string, fields?: Record<string, unknown>): void
  warn(message: string, fields?: Record<string, unknown>): void
  error(message: string, fields?: Record<string, unknown>): void
}

export const logLevels = ['info', 'warn', 'error', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

const longestLine = 4000

/** One JSON object a line, at most 4,000 characters, every remembered secret taken out. */
export function createLog(options: {
  write: (line: string) => void
  redactor: Redactor
  level?: LogLevel
  now?: () => number
}): Log {
  const { write, redactor, level: lowest = 'info', now = Date.now } = options
  const at = (level: LogLevel) => (message: string, fields?: Record<string, unknown>) => {
    if (logLevels.indexOf(level) < logLevels.indexOf(lowest)) return
    const text = redactor.clean(JSON.stringify({ time: new Date(now()).toISOString(), level, message, ...fields }))
    write(`${text.slice(0, longestLine)}\n`)
  }
  return { info: at('info'), warn: at('warn'), error: at('error') }
}

/** The sentence of a failure. */
export function sentenceOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

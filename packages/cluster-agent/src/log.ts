/** Where the agent says what it does. `fields` never hold secrets: whoever logs passes sentences and names, not payloads. */
export interface Log {
  info(message: string, fields?: Record<string, unknown>): void
  warn(message: string, fields?: Record<string, unknown>): void
  error(message: string, fields?: Record<string, unknown>): void
}

/** From all to nothing; the agent itself says `info`, `warn` and `error`. */
export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

/** One JSON object a line. A logging library would cost a tenth of the memory an agent may use. */
export function createLog(write: (line: string) => void, options: { level?: LogLevel; now?: () => number } = {}): Log {
  const { level: lowest = 'info', now = Date.now } = options
  const at = (level: LogLevel) => (message: string, fields?: Record<string, unknown>) => {
    if (logLevels.indexOf(level) < logLevels.indexOf(lowest)) return
    write(`${JSON.stringify({ time: new Date(now()).toISOString(), level, message, ...fields })}\n`)
  }
  return { info: at('info'), warn: at('warn'), error: at('error') }
}

/** For tests and simulations. */
export const silentLog: Log = { info: () => undefined, warn: () => undefined, error: () => undefined }

/** The sentence of a failure; of FreeholdError and engine refusals it holds no secret. */
export function sentenceOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

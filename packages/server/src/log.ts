import { type Logger, pino } from 'pino'
import type { Config } from './config/index.ts'

/** Fields that would hold secrets if somebody logged them by mistake. */
const secretFields = ['password', 'passwordHash', 'token', 'jumpCode', 'authorization', 'cookie', 'hash', 'secret']

/** JSON lines on standard error; standard output is for sentences to people. */
export function createLog(level: Config['logLevel']): Logger {
  return pino(
    {
      level,
      base: null,
      messageKey: 'message',
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: secretFields.flatMap((field) => [field, `*.${field}`, `*.*.${field}`]), censor: '[redacted]' },
    },
    pino.destination({ dest: 2, sync: true }),
  )
}

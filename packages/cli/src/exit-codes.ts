import { ApiError } from '@freehold/client'
import { type ErrorCode, errorTable, FreeholdError } from '@freehold/contracts'

/** What a script can rely on. A process ended by a signal or a closed pipe answers 128 + its number, as everywhere. */
export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
  forbidden: 3,
  notFound: 4,
  conflict: 5,
  unreachable: 6,
  interrupted: 130,
  brokenPipe: 141,
  terminated: 143,
} as const
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes]

/** The same table for people; the reference is generated from it. */
export const exitCodeMeanings: Record<ExitCode, string> = {
  0: 'It worked.',
  1: 'It was tried and failed: a rollout failed, a time limit passed, the server or an agent reported a failure.',
  2: 'The command line or its input is wrong. For `plan --exit-code`: there are changes.',
  3: 'Not signed in, or not allowed.',
  4: 'There is no such thing.',
  5: 'A conflict: the name is taken, the resource has changed since, or its state does not allow this.',
  6: 'The server cannot be reached.',
  130: 'Interrupted by Ctrl-C.',
  141: 'The reader of the output went away (as with `| head -1`).',
  143: 'Ended by SIGTERM.',
}

/** A failure that begins in this program: a sentence, what to do about it, and the exit code. */
export class CliError extends Error {
  readonly exitCode: ExitCode
  readonly action: string | undefined

  constructor(exitCode: ExitCode, message: string, action?: string) {
    super(message)
    this.name = 'CliError'
    this.exitCode = exitCode
    this.action = action
  }
}

const exitCodeOfError: Partial<Record<ErrorCode, ExitCode>> = {
  'invalid-input': exitCodes.usage,
  'invalid-json': exitCodes.usage,
  'invalid-cursor': exitCodes.usage,
  'body-too-large': exitCodes.usage,
  'unsupported-media-type': exitCodes.usage,
  unauthenticated: exitCodes.forbidden,
  'wrong-credentials': exitCodes.forbidden,
  'token-expired': exitCodes.forbidden,
  forbidden: exitCodes.forbidden,
  'not-found': exitCodes.notFound,
  'already-exists': exitCodes.conflict,
  'stale-version': exitCodes.conflict,
  conflict: exitCodes.conflict,
  'feed-expired': exitCodes.conflict,
  unavailable: exitCodes.unreachable,
}

/** Everything a failure can be, as the one thing that is printed. */
export interface Failure {
  exitCode: ExitCode
  code: string
  message: string
  details: { path: string; message: string }[]
  action: string | undefined
}

/** Reads a thrown value; what is none of ours keeps its message, so that nothing is hidden. */
export function failureOf(error: unknown): Failure {
  if (error instanceof FreeholdError) {
    return {
      exitCode: exitCodeOfError[error.code] ?? exitCodes.failed,
      code: error.code,
      message: error.message,
      details: error.details,
      action: actionOf(error),
    }
  }
  if (error instanceof CliError) {
    const { exitCode, message, action } = error
    return { exitCode, code: nameOf(exitCode), message, details: [], action }
  }
  const message = error instanceof Error ? error.message : String(error)
  return { exitCode: exitCodes.failed, code: 'failed', message, details: [], action: undefined }
}

/** What to do at a command line, where the error table speaks to whoever sends requests. */
const actions: Partial<Record<FreeholdError['code'], string>> = {
  'invalid-input': 'Correct what is named here and try again; --help lists the flags.',
  'not-found': 'Check how it is written; the `list` commands show what exists.',
}

function actionOf(error: FreeholdError): string {
  if (error.retryAfterSeconds !== undefined) return `Try again in ${error.retryAfterSeconds} s.`
  return actions[error.code] ?? (error instanceof ApiError ? error.action : errorTable[error.code].action)
}

function nameOf(exitCode: ExitCode): string {
  const found = Object.entries(exitCodes).find(([, code]) => code === exitCode)
  return found === undefined ? 'failed' : found[0]
}

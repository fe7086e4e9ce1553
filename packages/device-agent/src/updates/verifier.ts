import { join } from 'node:path'
import { spawnProcess } from '../builtin.ts'
import { isFields, parseJson } from '../parse.ts'
import type { VerifyAnswer, VerifyRequest } from './protocol.ts'

/** Judges what came of the signed channel. Throws where no judgement was reached. */
export type Verifier = (request: VerifyRequest, signal: AbortSignal) => Promise<VerifyAnswer>

const answerLimitBytes = 1024 * 1024
const flags = ['--max-old-space-size=96', '--max-semi-space-size=1', '--disable-warning=ExperimentalWarning']
/** What the process needs of ours: nothing secret; the token travels with the request. */
const inherited = ['PATH', 'NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE', 'NODE_COMPILE_CACHE', 'MALLOC_ARENA_MAX']

/** In a process of its own, bounded in memory and time, and killed where it is late. */
export function createVerifier(options: { timeLimitMs?: number; entry?: string } = {}): Verifier {
  const { timeLimitMs = 180_000, entry = join(import.meta.dirname, 'verify.ts') } = options
  return (request, signal) =>
    new Promise((resolve, reject) => {
      signal.throwIfAborted()
      const child = spawnProcess(process.execPath, [...flags, entry], {
        env: Object.fromEntries(inherited.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : []))),
        stdio: ['pipe', 'pipe', 'pipe'],
      })
      const written = { out: '', error: '' }
      let reason: string | null = null
      const end = (why: string) => {
        reason ??= why
        child.kill('SIGKILL')
      }
      const limit = setTimeout(() => end(`it took longer than ${timeLimitMs} ms`), timeLimitMs)
      const onAbort = () => end('it was no longer wanted')
      signal.addEventListener('abort', onAbort, { once: true })
      const settle = (act: () => void) => {
        clearTimeout(limit)
        signal.removeEventListener('abort', onAbort)
        act()
      }
      child.stdout?.setEncoding('utf8').on('data', (text: string) => {
        written.out += text
        if (written.out.length > answerLimitBytes) end('it answers too much')
      })
      child.stderr?.setEncoding('utf8').on('data', (text: string) => {
        written.error = (written.error + text).slice(-2000)
      })
      // A process that died does not read; what it died of is told by its end.
      child.stdin?.on('error', () => undefined).end(JSON.stringify(request))
      child.once('error', (error) => settle(() => reject(failed(error.message))))
      child.once('close', (code) =>
        settle(() => {
          const answer = reason === null ? answerOf(written.out) : null
          if (answer) return resolve(answer)
          reject(failed(reason ?? `it ended with ${code} and no answer: ${sentenceIn(written.error)}`))
        }),
      )
    })
}

function answerOf(text: string): VerifyAnswer | null {
  const value = parseJson(text)
  // Our own program on our own machine: what it says has the shape it says.
  return isFields(value) && isFields(value.trust) && isFields(value.zone) ? (value as unknown as VerifyAnswer) : null
}

function failed(reason: string): Error {
  return new Error(`The verification was not done: ${reason}.`)
}

/** Of what Node prints about an error that nobody caught. */
function sentenceIn(text: string): string {
  return (/^\w*Error\b.*$/m.exec(text)?.[0] ?? text.trim()).slice(0, 300) || 'nothing was said'
}

import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname } from 'node:path'
import { FreeholdError } from '@freehold/contracts/lean'
import {
  chmod,
  createHash,
  createServer,
  mkdir,
  randomBytes,
  readFile,
  rm,
  timingSafeEqual,
  writeFile,
} from '../builtin.ts'
import type { LocalApiAddress } from '../config.ts'
import { type Log, sentenceOf } from '../log.ts'
import { fieldsOf, isFields, parseJson } from '../parse.ts'
import { type Redactor, Secret } from '../secret.ts'
import { answerTo, type LocalAgent } from './routes.ts'

const bodyLimitBytes = 16 * 1024
const mostConnections = 32

export interface LocalApi {
  /** What a co-hosted product sets as `BASEOS_AGENT_URL`. */
  url: string
  stop(): Promise<void>
}

/**
 * Starts to listen. The token is read from its file, or made and written there, readable by its owner alone. A socket
 * left by a process that was killed is replaced.
 */
export async function startLocalApi(options: {
  address: LocalApiAddress
  tokenPath: string
  agent: LocalAgent
  redactor: Redactor
  log: Log
}): Promise<LocalApi> {
  const { address, agent, redactor, log } = options
  const token = await ensureToken(options.tokenPath)
  redactor.remember(token)
  const underWay = new Set<Promise<void>>()
  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    try {
      if (!isAllowed(request, token)) {
        throw new FreeholdError('unauthenticated', 'Send the token of the local API as Authorization: Bearer.')
      }
      const { pathname } = new URL(request.url ?? '/', 'http://agent')
      const body = await readBody(request)
      const answer = await answerTo({ method: request.method ?? 'GET', path: pathname, body, agent })
      reply(response, answer.status, answer.body, answer.until !== undefined)
      if (answer.until) await holdOpen(response, answer.until)
    } catch (error) {
      replyError(response, error, redactor)
      if (!(error instanceof FreeholdError)) log.error('A local request failed.', { reason: sentenceOf(error) })
    }
  }
  const limits = { requestTimeout: 10_000, headersTimeout: 5_000, keepAliveTimeout: 5_000 }
  const server = createServer(limits, (request, response) => {
    const handled = handle(request, response).finally(() => underWay.delete(handled))
    underWay.add(handled)
  })
  server.maxConnections = mostConnections
  await listen(server, address)
  return {
    url: address.kind === 'socket' ? `unix://${address.path}` : urlOf(server.address() as AddressInfo),
    stop: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      server.closeAllConnections()
      await closed
      await Promise.all(underWay)
    },
  }
}

async function listen(server: Server, address: LocalApiAddress): Promise<void> {
  if (address.kind === 'socket') {
    await mkdir(dirname(address.path), { recursive: true, mode: 0o750 })
    await rm(address.path, { force: true })
  }
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    const listening = () => {
      server.off('error', reject)
      resolve()
    }
    if (address.kind === 'socket') server.listen(address.path, listening)
    else server.listen(address.port, address.host, listening)
  })
  if (address.kind === 'socket') await chmod(address.path, 0o660)
}

function urlOf({ address, family, port }: AddressInfo): string {
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`
}

async function ensureToken(path: string): Promise<Secret> {
  const stored = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return ''
    throw error
  })
  if (/^[\x21-\x7e]{16,512}$/.test(stored.trim())) return new Secret(stored.trim())
  const made = randomBytes(32).toString('base64url')
  await mkdir(dirname(path), { recursive: true, mode: 0o750 })
  await writeFile(path, `${made}\n`, { mode: 0o600 })
  return new Secret(made)
}

/** Compared by their hashes, so that neither length nor content shows in the time it takes. */
function isAllowed(request: IncomingMessage, token: Secret): boolean {
  const given = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1] ?? ''
  const hash = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(hash(given), hash(token.reveal()))
}

/** The fields of a JSON body; none where there is no body. */
async function readBody(request: IncomingMessage): Promise<Record<string, unknown>> {
  const chunks: Buffer[] = []
  let sizeBytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length
    if (sizeBytes > bodyLimitBytes) {
      throw new FreeholdError('body-too-large', `The body is larger than ${bodyLimitBytes} bytes.`)
    }
    chunks.push(chunk)
  }
  if (sizeBytes === 0) return {}
  const value = parseJson(Buffer.concat(chunks).toString('utf8'))
  if (!isFields(value)) throw new FreeholdError('invalid-json', 'The body is not a JSON object.')
  return fieldsOf(value)
}

/** `goesOn`: the answer is one line and stays open after it. */
function reply(response: ServerResponse, status: number, body: unknown, goesOn: boolean): void {
  if (response.headersSent) return
  response.writeHead(status, { 'content-type': goesOn ? 'application/x-ndjson' : 'application/json' })
  const text = `${JSON.stringify(body)}\n`
  if (goesOn) response.write(text)
  else response.end(text)
}

function replyError(response: ServerResponse, error: unknown, redactor: Redactor): void {
  const known = error instanceof FreeholdError ? error : new FreeholdError('internal', 'The agent failed; see its log.')
  const message = redactor.clean(known.message)
  response.setHeader('connection', 'close')
  reply(response, known.status, { error: { code: known.code, message } }, false)
}

/** Until the client goes away, or what it waits for is over. */
async function holdOpen(
  response: ServerResponse,
  until: { over: Promise<void>; gone: () => Promise<void> },
): Promise<void> {
  const closed = new Promise<void>((resolve) => response.once('close', resolve))
  await Promise.race([closed, until.over])
  await until.gone()
  response.end()
}

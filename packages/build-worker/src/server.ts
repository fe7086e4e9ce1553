import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { corebuildLimits, corebuildPaths, FreeholdError } from '@freehold/contracts'
import { capabilitiesOf } from './capabilities.ts'
import { readConfig, type WorkerConfig } from './config.ts'
import { sendFailure, sendJson } from './http/answer.ts'
import { parseJson, readBody } from './http/body.ts'
import { requireToken } from './http/token.ts'
import { createJobs, type Jobs } from './jobs/jobs.ts'
import { createMemoryReader } from './jobs/memory.ts'
import { foldersOf, type JobSurroundings } from './jobs/run.ts'
import { removeLeftovers } from './jobs/workspace.ts'
import { createRedact } from './secret.ts'

export interface CoreBuildServerOptions extends Omit<JobSurroundings, 'config'> {
  /** Says one sentence; without it nothing is said. */
  log?: (sentence: string) => void
  /** Where programs are looked for, when capabilities are told. */
  searchPath?: string
}

/** The build worker's HTTP server; `packages/contracts/src/build-workers.ts` says what it answers. */
export class CoreBuildServer {
  readonly config: WorkerConfig
  readonly #options: CoreBuildServerOptions
  readonly #jobs: Jobs
  readonly #server: Server
  readonly #say: (sentence: string) => void

  constructor(config: WorkerConfig, options: CoreBuildServerOptions = {}) {
    this.config = config
    this.#options = options
    const redact = createRedact([config.token?.reveal()])
    this.#say = (sentence) => options.log?.(redact(sentence))
    this.#jobs = createJobs({ ...options, config }, this.#say)
    this.#server = createServer((request, response) => void this.#answer(request, response))
    // Jobs take hours. How long a request may take to arrive is limited all the same.
    this.#server.requestTimeout = 60_000
    this.#server.timeout = 0
    this.#server.on('connection', (socket) => socket.setKeepAlive(true, 30_000))
  }

  /** Configured by environment variables; throws `invalid-input` with every one that is wrong. */
  static fromEnv(
    environment: Record<string, string | undefined> = process.env,
    options: CoreBuildServerOptions = {},
  ): CoreBuildServer {
    return new CoreBuildServer(readConfig(environment), { environment, ...options })
  }

  /** Removes what a killed worker left, then listens. */
  async start(): Promise<{ port: number }> {
    // Where this fails, the limit would not hold.
    if (this.config.memoryBytes !== null) await createMemoryReader()()
    const removed = await removeLeftovers(foldersOf(this.config).jobs)
    if (removed > 0) this.#say(`The workspaces of ${removed} jobs that were broken off are removed.`)
    this.#server.listen({
      port: this.config.port,
      ...(this.config.host === undefined ? {} : { host: this.config.host }),
    })
    await once(this.#server, 'listening')
    const { port } = this.#server.address() as AddressInfo
    this.#say(`Build worker ${this.config.workerId} listens on port ${port}.`)
    return { port }
  }

  /** Takes no more, ends all jobs, and waits until their workspaces are gone. */
  async stop(): Promise<void> {
    const closed = this.#server.listening ? once(this.#server, 'close') : undefined
    this.#server.close()
    await this.#jobs.stop()
    this.#server.closeIdleConnections()
    // Answers are on their way; who does not take them is not waited for.
    const impatient = setTimeout(() => this.#server.closeAllConnections(), 2_000)
    await closed
    clearTimeout(impatient)
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await this.#route(request, response)
    } catch (error) {
      if (response.headersSent || response.destroyed) {
        response.destroy()
        return
      }
      if (!(error instanceof FreeholdError)) this.#say(`A request failed: ${textOf(error)}`)
      sendFailure(
        response,
        error instanceof FreeholdError ? error : new FreeholdError('internal', 'The worker failed; its log says more.'),
      )
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? '/').split('?')[0] ?? '/'
    if (path === corebuildPaths.health) {
      requireMethod(request, ['GET', 'HEAD'])
      return sendJson(response, 200, { ok: true })
    }
    if (path === corebuildPaths.capabilities) {
      requireMethod(request, ['GET', 'HEAD'])
      const capabilities = await capabilitiesOf({ ...this.#options, config: this.config, queue: this.#jobs.queue })
      return sendJson(response, 200, capabilities)
    }
    if (path === corebuildPaths.baseosImage) {
      requireMethod(request, ['POST'])
      return this.#jobs.run(await this.#readRequest(request), request, response)
    }
    if (path.startsWith(corebuildPaths.jobs)) {
      requireMethod(request, ['DELETE'])
      await this.#readRequest(request, { mayBeEmpty: true })
      await this.#jobs.cancel(path.slice(corebuildPaths.jobs.length))
      response.writeHead(204).end()
      return
    }
    throw new FreeholdError('not-found', 'There is nothing at this address; see /corebuild/v1/capabilities.')
  }

  /** The body, if the token is right; a wrong one hears nothing of what is wrong with the rest. */
  async #readRequest(request: IncomingMessage, { mayBeEmpty = false } = {}): Promise<unknown> {
    const text = (await readBody(request, corebuildLimits.requestBytes)).toString()
    const parsed = text === '' && mayBeEmpty ? { value: undefined } : parseJson(text)
    requireToken(this.config.token, { headers: request.headers, body: parsed?.value })
    if (parsed === undefined) throw new FreeholdError('invalid-json', 'The body is not JSON.')
    return parsed.value
  }
}

function requireMethod(request: IncomingMessage, allowed: readonly string[]): void {
  if (allowed.includes(request.method ?? '')) return
  throw new FreeholdError('method-not-allowed', `This address takes ${allowed.join(' and ')} alone.`)
}

function textOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

/** A registry that misbehaves as a test tells it to: a fake, because no real one lies on demand. */
import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface FakeRegistry {
  url: URL
  host: string
  /** `METHOD path` of every request, in order. */
  requests: string[]
  /** Headers of the last request to this path. */
  headersOf(path: string): IncomingMessage['headers'] | undefined
  stop(): Promise<void>
}

/** Answers a request and says true, or leaves it to what follows. */
export type Reply = (request: IncomingMessage, response: ServerResponse, path: string) => boolean | Promise<boolean>

export async function startFakeRegistry(reply: Reply): Promise<FakeRegistry> {
  const requests: string[] = []
  const headers = new Map<string, IncomingMessage['headers']>()
  const server = createServer((request, response) => {
    const path = request.url ?? '/'
    requests.push(`${request.method} ${path}`)
    headers.set(path, request.headers)
    void Promise.resolve(reply(request, response, path)).then((isAnswered) => {
      if (!isAnswered) response.writeHead(404).end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    url: new URL(`http://${host}/`),
    host,
    requests,
    headersOf: (path) => headers.get(path),
    async stop() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

export function digestOfText(content: string | Buffer): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`
}

import type { ClientRequest, IncomingMessage } from 'node:http'
import { requestPlain } from '../../builtin.ts'

/** Why the engine did not do what it was asked for. `message` is for people and holds no secret. */
export class EngineError extends Error {
  override readonly name = 'EngineError'
  readonly reason: 'unavailable' | 'unauthorized' | 'not-found' | 'in-use' | 'no-space' | 'failed'

  constructor(reason: EngineError['reason'], message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.reason = reason
  }
}

/** One request to the engine's socket. `quietMs`: how long it may say nothing. */
export interface Call {
  socketPath: string
  method: 'GET' | 'POST' | 'DELETE' | 'HEAD'
  path: string
  headers?: Record<string, string>
  signal?: AbortSignal | undefined
  quietMs: number
  onChunk?: (chunk: Buffer, status: number) => void
}

/** Resolves to the status when the answer ended. What `onChunk` throws ends it and is thrown. */
export function exchange({ socketPath, method, path, headers, signal, quietMs, onChunk }: Call): Promise<number> {
  return new Promise<number>((resolve, reject) => {
    const outgoing: ClientRequest = requestPlain({
      socketPath,
      method,
      path,
      agent: false,
      timeout: quietMs,
      ...(signal === undefined ? {} : { signal }),
      headers: {
        host: 'engine',
        connection: 'close',
        ...headers,
        ...(method === 'POST' ? { 'content-length': '0' } : {}),
      },
    })
    const fail = (error: unknown) => {
      reject(error instanceof EngineError ? error : unavailable(error, signal))
      outgoing.destroy()
    }
    outgoing.once('timeout', () => fail(new EngineError('unavailable', `The engine said nothing for ${quietMs} ms.`)))
    outgoing.on('error', fail)
    outgoing.once('response', (incoming: IncomingMessage) => {
      const status = incoming.statusCode ?? 0
      incoming.on('data', (chunk: Buffer) => {
        try {
          onChunk?.(chunk, status)
        } catch (error) {
          fail(error)
        }
      })
      incoming.once('error', fail)
      incoming.once('end', () => resolve(status))
    })
    outgoing.end()
  })
}

function unavailable(error: unknown, signal: AbortSignal | undefined): EngineError {
  if (signal?.aborted) return new EngineError('unavailable', 'It was no longer wanted.', { cause: error })
  const { code, message } = error as NodeJS.ErrnoException
  return new EngineError('unavailable', `The host's container engine cannot be asked: ${code ?? message}.`, {
    cause: error,
  })
}

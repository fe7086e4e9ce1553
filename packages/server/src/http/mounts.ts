import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Client } from './handler.ts'

/** A protocol of its own under a path prefix (`/v2`): it reads the request and writes the response by itself. */
export interface RawMount {
  /** Matches the path itself and everything below it. */
  prefix: string
  /** Authentication, body limits and error bodies are the mount's own; a throw is logged and answered with 500. */
  handle(
    request: IncomingMessage,
    response: ServerResponse,
    context: { client: Client; requestId: string },
  ): Promise<void>
}

/**
 * An exact path that machines call very often, such as the heartbeat of devices. It is spared what such a call has no use
 * for: a line at level info, headers for browsers, a signal that aborts.
 */
export interface FrequentMount {
  path: string
  /** Writes the answer, or throws what the door's one mapper turns into an error body. */
  handle(request: IncomingMessage, response: ServerResponse, context: { address: () => string }): Promise<void>
}

/** A WebSocket endpoint at one exact path; it completes or refuses the upgrade by itself. */
export interface UpgradeMount {
  path: string
  handle(request: IncomingMessage, socket: Duplex, head: Buffer, context: { client: Client }): void
}

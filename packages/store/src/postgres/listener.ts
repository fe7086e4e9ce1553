import pg from 'pg'
import type { StoreLog } from '../engine.ts'
import { connectionConfig } from './connection.ts'
import { channel } from './session.ts'

const firstRetryMs = 100
const lastRetryMs = 5000

/**
 * Wakes on NOTIFY of any replica. A notification carries nothing and may be lost with the connection, so it wakes also
 * after each connect, and whenever the slow poll finds another version.
 */
export function createListener(options: {
  url: string
  pollMs: number
  version: () => Promise<number>
  wake: () => void
  log: StoreLog
}): { close(): Promise<void> } {
  let client: pg.Client | undefined
  let retry: NodeJS.Timeout | undefined
  let retryMs = firstRetryMs
  let seen = -1
  let closed = false
  const poll = setInterval(() => void lookForNews(), options.pollMs)
  poll.unref()
  void connect()

  async function connect(): Promise<void> {
    const made = new pg.Client(connectionConfig(options.url))
    client = made
    made.on('notification', options.wake)
    made.on('error', (error) => again(made, error))
    made.on('end', () => again(made, undefined))
    try {
      await made.connect()
      await made.query(`LISTEN ${channel}`)
      retryMs = firstRetryMs
      options.wake()
    } catch (error) {
      again(made, error)
    }
  }

  function again(lost: pg.Client, error: unknown): void {
    if (closed || client !== lost) return
    client = undefined
    options.log.warn({ err: error }, `the connection that hears of changes was lost; trying again in ${retryMs} ms`)
    lost.end().catch(() => undefined)
    retry = setTimeout(() => void connect(), retryMs)
    retryMs = Math.min(retryMs * 2, lastRetryMs)
  }

  async function lookForNews(): Promise<void> {
    try {
      const version = await options.version()
      if (version !== seen && !closed) options.wake()
      seen = version
    } catch (error) {
      options.log.warn({ err: error }, 'PostgreSQL could not be asked for its newest version')
    }
  }

  return {
    async close() {
      closed = true
      clearInterval(poll)
      clearTimeout(retry)
      await client?.end().catch(() => undefined)
    },
  }
}

import type { ServerResponse } from 'node:http'
import type { MappedError } from './errors.ts'

const heartbeatMs = 15_000
/** A client that takes nothing for this long is dropped; it may come back where it was. */
const slowClientMs = 60_000

/** How one format puts its lines on the wire. */
interface Format {
  contentType: string
  opening: string
  heartbeat: string | null
  item(text: string, value: unknown): string
  failure(error: MappedError): string
}

/** Newline-delimited JSON; an error after the first byte is a last line `{"error":{…}}`. */
const ndjson: Format = {
  contentType: 'application/x-ndjson; charset=utf-8',
  opening: '',
  heartbeat: null,
  item: (text) => `${text}\n`,
  failure: (error) => `${JSON.stringify(error.body)}\n`,
}

/** Server-sent events (HTML Living Standard §9.2): the event id is the item's `version`. */
const sse: Format = {
  contentType: 'text/event-stream; charset=utf-8',
  opening: 'retry: 2000\n\n',
  heartbeat: ': still here\n\n',
  item: (text, value) => {
    const version = (value as { version?: unknown }).version
    return `${version === undefined ? '' : `id: ${version}\n`}data: ${text}\n\n`
  },
  failure: (error) => `event: error\ndata: ${JSON.stringify(error.body)}\n\n`,
}
const formats = { ndjson, sse }

/** Calls back after users, sessions or tokens changed; returns the unsubscribe. */
export type OnRightsChange = (listener: () => void) => () => void

/**
 * Writes items as they come, waiting whenever the client is slower than they are. Ends with the items, with
 * `stop.signal`, when the client takes nothing for a minute, or when `stillAllowed` throws (asked at each heartbeat and
 * whenever `onRightsChange` calls);
 * then it aborts `stop`, so that whoever makes the items ends too.
 */
export async function sendStream(options: {
  response: ServerResponse
  format: keyof typeof formats
  items: AsyncIterable<unknown>
  stop: AbortController
  stillAllowed: () => Promise<void>
  onRightsChange: OnRightsChange
  mapError: (error: unknown) => MappedError
  /** `JSON.stringify`, or something that remembers the text of an object that many streams send. */
  textOf: (value: unknown) => string
}): Promise<void> {
  const { response, stop } = options
  const format = formats[options.format]
  response.writeHead(200, {
    'content-type': format.contentType,
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  })
  response.flushHeaders()
  if (format.opening !== '') response.write(format.opening)
  const end = (error?: unknown) => {
    if (response.writableEnded || response.destroyed) return
    if (error !== undefined && !stop.signal.aborted) response.write(format.failure(options.mapError(error)))
    response.end()
    stop.abort()
  }
  const heartbeat = setInterval(() => {
    if (format.heartbeat !== null && !response.writableNeedDrain) response.write(format.heartbeat)
    options.stillAllowed().catch(end)
  }, heartbeatMs)
  const unsubscribe = options.onRightsChange(() => void options.stillAllowed().catch(end))
  const onAbort = () => end()
  stop.signal.addEventListener('abort', onAbort)
  try {
    for await (const value of options.items) {
      if (stop.signal.aborted) break
      if (!response.write(format.item(options.textOf(value), value))) await drained(response)
    }
    end()
  } catch (error) {
    end(error)
  } finally {
    clearInterval(heartbeat)
    unsubscribe()
    stop.signal.removeEventListener('abort', onAbort)
  }
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    if (response.destroyed) return resolve()
    const timer = setTimeout(() => response.destroy(), slowClientMs)
    const finish = () => {
      clearTimeout(timer)
      response.off('drain', finish).off('close', finish)
      resolve()
    }
    response.on('drain', finish).on('close', finish)
  })
}

/** `JSON.stringify` that makes the text of one object once, however many streams send it; it lives as long as the object. */
export function createTextMemory(): (value: unknown) => string {
  const texts = new WeakMap<object, string>()
  return (value) => {
    if (typeof value !== 'object' || value === null) return JSON.stringify(value)
    const text = texts.get(value) ?? JSON.stringify(value)
    texts.set(value, text)
    return text
  }
}

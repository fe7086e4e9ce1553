import { ApiError, errorFromBody, unreachable } from './errors.ts'

/** A line longer than this is no line of ours. In UTF-16 code units. */
const maxLineLength = 64 * 1024 * 1024

/**
 * The lines of an answer as they come, without their ends (LF, CRLF or CR). An unfinished last line is given out only
 * if `keepRest` says so. Throws `unavailable` when the connection breaks or stays silent for `silenceMs`.
 */
export async function* linesOf(
  response: Response,
  options: { signal: AbortSignal | undefined; keepRest: boolean; silenceMs?: number },
): AsyncGenerator<string> {
  if (response.body === null) return
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  try {
    for (;;) {
      const { done, value } = await readSome(reader, response.url, options)
      if (done) break
      const lines = `${rest}${value}`.split(/\r\n|\n|\r(?!$)/)
      rest = lines.pop() ?? ''
      if (rest.length > maxLineLength) throw new ApiError('internal', `A line of ${response.url} has no end.`)
      yield* lines
    }
    if (options.keepRest && rest !== '') yield rest
  } finally {
    // A reader whose stream failed already rejects here too, and the first failure is the one to tell.
    await reader.cancel().catch(() => undefined)
  }
}

async function readSome(
  reader: ReadableStreamDefaultReader<string>,
  url: string,
  options: { signal: AbortSignal | undefined; silenceMs?: number },
): Promise<{ done: boolean; value?: string | undefined }> {
  const { signal, silenceMs } = options
  let timer: ReturnType<typeof setTimeout> | undefined
  let stop = () => {}
  const broken = new Promise<never>((_, reject) => {
    stop = () => reject(signal?.reason ?? new DOMException('Aborted', 'AbortError'))
    if (signal?.aborted) stop()
    signal?.addEventListener('abort', stop)
    if (silenceMs !== undefined) {
      timer = setTimeout(
        () => reject(new ApiError('timeout', `${new URL(url).origin} has been silent for ${silenceMs / 1000} s.`)),
        silenceMs,
      )
    }
  })
  try {
    return await Promise.race([reader.read(), broken])
  } catch (error) {
    if (error instanceof ApiError || signal?.aborted) throw error
    throw unreachable(url, error)
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', stop)
  }
}

/** Parses newline-delimited JSON; a line `{"error": {…}}` is the failure that ended the stream. */
export async function* itemsOf(lines: AsyncIterable<string>): AsyncGenerator<unknown> {
  for await (const line of lines) {
    if (line === '') continue
    const item: unknown = JSON.parse(line)
    const error = errorFromBody(item)
    if (error !== null) throw error
    yield item
  }
}

export interface ServerEvent {
  /** `message` unless the server named it. */
  type: string
  /** The last id the stream gave, empty before the first. */
  id: string
  data: string
}

/** Server-sent events out of lines (HTML Living Standard §9.2.6); comments and `retry` are left out. */
export async function* eventsOf(lines: AsyncIterable<string>): AsyncGenerator<ServerEvent> {
  let type = ''
  let id = ''
  let data: string[] = []
  for await (const line of lines) {
    if (line === '') {
      if (data.length > 0) yield { type: type || 'message', id, data: data.join('\n') }
      type = ''
      data = []
      continue
    }
    const colon = line.indexOf(':')
    const field = colon === -1 ? line : line.slice(0, colon)
    const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (field === 'event') type = value
    else if (field === 'data') data.push(value)
    else if (field === 'id' && !value.includes('\0')) id = value
  }
}

import type { EngineEvent, EngineLogLine } from './types.ts'

/**
 * Splits Docker's multiplexed stream (Engine API, "Attach to a container", stream format): per frame one byte stream
 * type, three zeros, length as uint32 big endian, payload. Frames longer than `limitBytes` are cut.
 */
export async function* readFrames(
  source: AsyncIterable<Uint8Array>,
  limitBytes = 64 * 1024,
): AsyncGenerator<{ stream: 'stdout' | 'stderr'; payload: Buffer }> {
  let held: Buffer = Buffer.alloc(0)
  let skipBytes = 0
  for await (const chunk of source) {
    held = held.length === 0 ? Buffer.from(chunk) : Buffer.concat([held, chunk])
    for (;;) {
      if (skipBytes > 0) {
        const skipped = Math.min(skipBytes, held.length)
        held = held.subarray(skipped)
        skipBytes -= skipped
        if (skipBytes > 0) break
      }
      if (held.length < 8) break
      const lengthBytes = held.readUInt32BE(4)
      const keptBytes = Math.min(lengthBytes, limitBytes)
      if (held.length < 8 + keptBytes) break
      yield { stream: held[0] === 2 ? 'stderr' : 'stdout', payload: held.subarray(8, 8 + keptBytes) }
      held = held.subarray(8 + keptBytes)
      skipBytes = lengthBytes - keptBytes
    }
  }
}

/** Log lines of frames asked for with timestamps and, for services, with details. */
export async function* readLogLines(
  source: AsyncIterable<Uint8Array>,
  { details }: { details: boolean },
): AsyncGenerator<EngineLogLine> {
  for await (const { stream, payload } of readFrames(source)) {
    const text = payload.toString('utf8').replace(/\r?\n$/, '')
    const [at, afterTime] = cut(text)
    const [facts, line] = details ? cut(afterTime) : ['', afterTime]
    const named = new Map(facts.split(',').map((fact) => cutAt(fact, '=')))
    yield {
      at,
      stream,
      taskId: named.get('com.docker.swarm.task.id') ?? '',
      nodeId: named.get('com.docker.swarm.node.id') ?? '',
      line,
    }
  }
}

/** One JSON object a line, as `/events` sends them. */
export async function* readEvents(source: AsyncIterable<Uint8Array>): AsyncGenerator<EngineEvent> {
  const decoder = new TextDecoder()
  let held = ''
  for await (const chunk of source) {
    held += decoder.decode(chunk, { stream: true })
    const lines = held.split('\n')
    held = lines.pop() ?? ''
    for (const line of lines) if (line.trim() !== '') yield JSON.parse(line) as EngineEvent
    if (held.length > 1024 * 1024) throw new Error('The engine sent an event larger than 1 MiB.')
  }
}

function cut(text: string): [string, string] {
  return cutAt(text, ' ')
}

function cutAt(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator)
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)]
}

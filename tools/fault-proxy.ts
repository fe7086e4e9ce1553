import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

/**
 * What goes wrong on the way to a server:
 * - `reset`: connections are closed at once.
 * - `silent`: whatever comes is swallowed.
 * - `busy`: every request is answered 503 as S3 stores do.
 * - `cut-request`: the connection breaks after that many bytes of the client.
 * - `cut-answer`, `stall-answer`: it breaks, or falls silent, after that many bytes of the server.
 */
export interface Fault {
  kind: 'reset' | 'silent' | 'busy' | 'cut-request' | 'cut-answer' | 'stall-answer'
  /** Of one connection; default 0. */
  afterBytes?: number
  /** How many connections it hits; default all. */
  times?: number
}

export interface FaultProxy {
  /** `http://127.0.0.1:…` */
  url: string
  /** Connections that had the present fault. */
  hits(): number
  /** Lets this go wrong from now on; connections there are go on or, with `breaks`, break now. */
  fail(fault: Fault, options?: { breaks?: boolean }): void
  heal(): void
  close(): Promise<void>
}

const busyBody =
  '<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>'
const busyAnswer = [
  ...['HTTP/1.1 503 Slow Down', 'content-type: application/xml', `content-length: ${busyBody.length}`],
  ...['connection: close', '', busyBody],
].join('\r\n')

/** A TCP proxy on a free port of the loopback that can be told to misbehave, for tests. */
export async function startFaultProxy(target: { port: number }): Promise<FaultProxy> {
  const connections = new Set<Socket>()
  let fault: Fault | undefined
  let hits = 0

  const breakAll = () => {
    for (const socket of connections) socket.destroy()
  }

  const server = createServer((client) => {
    let mine: Fault | undefined
    if (fault !== undefined && hits < (fault.times ?? Number.POSITIVE_INFINITY)) {
      mine = fault
      hits += 1
    }
    for (const socket of [client]) track(socket)
    if (mine === undefined) return passOn(client, { port: target.port, fault: undefined })
    if (mine.kind === 'reset') client.destroy()
    else if (mine.kind === 'silent') client.resume()
    else if (mine.kind === 'busy') answerBusy(client)
    else passOn(client, { port: target.port, fault: mine })
  })

  function track(socket: Socket): void {
    connections.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => connections.delete(socket))
  }

  function passOn(client: Socket, options: { port: number; fault: Fault | undefined }): void {
    const upstream = connect(options.port, '127.0.0.1')
    track(upstream)
    const broken = () => {
      client.destroy()
      upstream.destroy()
    }
    client.once('close', () => upstream.destroy())
    upstream.once('close', () => {
      if (options.fault?.kind !== 'stall-answer') client.end()
    })
    copy(client, upstream, {
      limitBytes: limitOf(options.fault, 'cut-request'),
      onLimit: broken,
    })
    copy(upstream, client, {
      limitBytes: limitOf(options.fault, 'cut-answer', 'stall-answer'),
      onLimit: () => {
        if (options.fault?.kind === 'cut-answer') broken()
      },
    })
  }

  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('The system gave no free port.')
  return {
    url: `http://127.0.0.1:${address.port}`,
    hits: () => hits,
    fail(next, { breaks = true } = {}) {
      fault = next
      hits = 0
      if (breaks) breakAll()
    },
    heal() {
      fault = undefined
      breakAll()
    },
    async close() {
      const closed = once(server, 'close')
      server.close()
      breakAll()
      await closed
    },
  }
}

function limitOf(fault: Fault | undefined, ...kinds: Fault['kind'][]): number {
  return fault !== undefined && kinds.includes(fault.kind) ? (fault.afterBytes ?? 0) : Number.POSITIVE_INFINITY
}

/** Copies with backpressure, up to a number of bytes. */
function copy(from: Socket, to: Socket, options: { limitBytes: number; onLimit: () => void }): void {
  let leftBytes = options.limitBytes
  from.on('data', (chunk: Buffer) => {
    const passed = chunk.subarray(0, Math.max(0, leftBytes))
    leftBytes -= chunk.length
    if (passed.length > 0 && !to.write(passed)) {
      from.pause()
      to.once('drain', () => from.resume())
    }
    if (leftBytes < 0) {
      from.removeAllListeners('data')
      from.resume()
      options.onLimit()
    }
  })
}

/** Reads the head of the request, answers, and drops the rest. */
function answerBusy(client: Socket): void {
  let head = ''
  client.on('data', (chunk: Buffer) => {
    const before = head.includes('\r\n\r\n')
    head = (head + chunk.toString('latin1')).slice(-64 * 1024)
    if (!before && head.includes('\r\n\r\n')) client.end(busyAnswer)
  })
}

import { connect, type Socket } from 'node:net'

/** What a request answered; its body only where it was asked for. */
export interface Answer {
  status: number
  /** Names in lower case. */
  headers: Record<string, string>
  bodyBytes: number
  body: Buffer | undefined
}

export interface Asked {
  method: string
  path: string
  headers?: Record<string, string>
  /** Sent one after another, each as fast as the peer takes it. */
  blocks?: readonly Buffer[]
  /** Keep the body of the answer; without it the bytes are counted and dropped. */
  keep?: boolean
}

const readBytes = 1024 * 1024
const newline = Buffer.from('\r\n\r\n')

/**
 * One HTTP/1.1 connection that costs as little as can be, one request at a time: the load must not be what is measured.
 * It reads into one buffer for ever and knows no answer but those with a Content-Length.
 */
export class Connection {
  readonly #socket: Socket
  readonly #host: string
  #head = Buffer.alloc(0)
  #waiting: { asked: Asked; answer: Answer | undefined; parts: Buffer[]; lengthBytes: number } | undefined
  #settle: { resolve: (answer: Answer) => void; reject: (error: Error) => void } | undefined

  private constructor(socket: Socket, host: string) {
    this.#socket = socket
    this.#host = host
  }

  static open(url: string): Promise<Connection> {
    const { hostname, port, host } = new URL(url)
    return new Promise((resolve, reject) => {
      let connection: Connection | undefined
      const onread = {
        buffer: Buffer.allocUnsafeSlow(readBytes),
        callback: (count: number, buffer: Uint8Array) => {
          connection?.read(Buffer.from(buffer.buffer, buffer.byteOffset, count))
          return true
        },
      }
      const socket = connect({ host: hostname, port: Number(port), noDelay: true, onread })
      connection = new Connection(socket, host)
      socket.once('connect', () => resolve(connection as Connection))
      socket.on('error', (error) => {
        reject(error)
        connection?.fail(error)
      })
      socket.on('close', () => connection?.fail(new Error('The connection was closed in the middle of a request.')))
    })
  }

  async ask(asked: Asked): Promise<Answer> {
    const answered = new Promise<Answer>((resolve, reject) => {
      this.#settle = { resolve, reject }
    })
    this.#waiting = { asked, answer: undefined, parts: [], lengthBytes: 0 }
    const lengthBytes = (asked.blocks ?? []).reduce((sum, block) => sum + block.length, 0)
    const headers = { host: this.#host, 'content-length': String(lengthBytes), ...asked.headers }
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
    this.#socket.write(`${asked.method} ${asked.path} HTTP/1.1\r\n${lines.join('')}\r\n`)
    for (const block of asked.blocks ?? []) {
      if (this.#socket.destroyed) break
      if (!this.#socket.write(block)) await drained(this.#socket)
    }
    return answered
  }

  close(): void {
    this.#socket.destroy()
  }

  private read(bytes: Buffer): void {
    const waiting = this.#waiting
    if (waiting === undefined) return
    let rest = bytes
    if (waiting.answer === undefined) {
      this.#head = Buffer.concat([this.#head, bytes])
      const end = this.#head.indexOf(newline)
      if (end < 0) return
      waiting.answer = parseHead(this.#head.toString('latin1', 0, end))
      rest = this.#head.subarray(end + newline.length)
      this.#head = Buffer.alloc(0)
      const length = waiting.answer.headers['content-length']
      if (waiting.answer.headers['transfer-encoding'] !== undefined) {
        this.fail(new Error('An answer has no Content-Length.'))
        return
      }
      waiting.lengthBytes = waiting.asked.method === 'HEAD' ? 0 : Number(length ?? 0)
    }
    waiting.answer.bodyBytes += rest.length
    if (waiting.asked.keep === true) waiting.parts.push(Buffer.from(rest))
    if (waiting.answer.bodyBytes < waiting.lengthBytes) return
    const { answer, parts } = waiting
    if (waiting.asked.keep === true) answer.body = Buffer.concat(parts)
    this.#waiting = undefined
    this.#settle?.resolve(answer)
  }

  private fail(error: Error): void {
    if (this.#waiting === undefined) return
    this.#waiting = undefined
    this.#settle?.reject(error)
  }
}

function parseHead(text: string): Answer {
  const [first = '', ...lines] = text.split('\r\n')
  const headers: Record<string, string> = {}
  for (const line of lines) {
    const at = line.indexOf(':')
    headers[line.slice(0, at).toLowerCase()] = line.slice(at + 1).trim()
  }
  return { status: Number(first.split(' ')[1]), headers, bodyBytes: 0, body: undefined }
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      socket.off('drain', done).off('close', done)
      resolve()
    }
    socket.on('drain', done).on('close', done)
  })
}

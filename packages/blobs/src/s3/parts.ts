import type { Hash } from 'node:crypto'
import type { ByteSource } from '../blobs.ts'
import type { PartBuffers } from './buffers.ts'

/** Parts under way at once, per transfer; the next one fills meanwhile. */
const partsAtOnce = 2
/** What a transfer holds without a buffer: configs and manifests never wait for one. */
const smallBytes = 256 * 1024
const smallChunks = 64

export type SendPart = (number: number, body: Buffer, signal: AbortSignal) => Promise<void>

/**
 * Cuts bytes into parts of equal size, because some stores take no others but for the last. A full part goes out only
 * when another byte comes, so what `finish` leaves is the last part, and the only one where all is small.
 */
export class PartCutter {
  readonly #buffers: PartBuffers
  readonly #send: SendPart
  readonly #stop = new AbortController()
  readonly #underWay = new Set<Promise<void>>()
  #failure: { error: unknown } | undefined
  #chunks: Buffer[] = []
  #buffer: Buffer | undefined
  #filledBytes = 0
  #number: number

  /** `firstNumber` is the number of the part that is filled first. */
  constructor(options: { buffers: PartBuffers; send: SendPart; firstNumber?: number }) {
    this.#buffers = options.buffers
    this.#send = options.send
    this.#number = options.firstNumber ?? 1
  }

  /** The number of the part that is being filled. */
  get number(): number {
    return this.#number
  }

  /** Takes a chunk, as fast as parts go out. Throws the failure of a part. */
  async add(chunk: Buffer): Promise<void> {
    let rest = chunk
    while (rest.length > 0) {
      this.#throwFailure()
      if (this.#filledBytes === this.#buffers.partBytes) this.#sendFull()
      const taken = rest.subarray(0, this.#buffers.partBytes - this.#filledBytes)
      if (this.#buffer === undefined && this.#outgrows(taken)) await this.#intoBuffer()
      if (this.#buffer === undefined) this.#chunks.push(taken)
      else taken.copy(this.#buffer, this.#filledBytes)
      this.#filledBytes += taken.length
      rest = rest.subarray(taken.length)
    }
  }

  /** Waits for every part and answers what is left: the last part. Valid until `release`. */
  async finish(): Promise<Buffer> {
    await Promise.all(this.#underWay)
    this.#throwFailure()
    return this.#buffer?.subarray(0, this.#filledBytes) ?? Buffer.concat(this.#chunks)
  }

  /** Gives all memory back; parts under way are stopped and waited for. */
  async release(): Promise<void> {
    this.#stop.abort()
    await Promise.all(this.#underWay)
    if (this.#buffer !== undefined) this.#buffers.give(this.#buffer)
    this.#buffer = undefined
    this.#chunks = []
    this.#filledBytes = 0
  }

  #outgrows(taken: Buffer): boolean {
    return this.#filledBytes + taken.length > smallBytes || this.#chunks.length >= smallChunks
  }

  async #intoBuffer(): Promise<void> {
    this.#buffer = await this.#takeBuffer()
    let at = 0
    for (const chunk of this.#chunks) at += chunk.copy(this.#buffer, at)
    this.#chunks = []
  }

  /** While parts are under way their buffers come back; only whoever holds none waits in line. */
  async #takeBuffer(): Promise<Buffer> {
    while (this.#underWay.size >= partsAtOnce) await Promise.race(this.#underWay)
    let buffer = this.#buffers.tryTake()
    while (buffer === undefined && this.#underWay.size > 0) {
      await Promise.race(this.#underWay)
      buffer = this.#buffers.tryTake()
    }
    if (this.#failure !== undefined && buffer !== undefined) this.#buffers.give(buffer)
    this.#throwFailure()
    return buffer ?? this.#buffers.take()
  }

  #sendFull(): void {
    const body = this.#buffer
    if (body === undefined) throw new Error('A full part is in a buffer.')
    const sending = this.#send(this.#number, body, this.#stop.signal)
      .catch((error: unknown) => {
        this.#failure ??= { error }
      })
      .finally(() => {
        this.#buffers.give(body)
        this.#underWay.delete(sending)
      })
    this.#underWay.add(sending)
    this.#buffer = undefined
    this.#filledBytes = 0
    this.#number += 1
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error
  }
}

/** An error of the source, told apart from those of the store. */
export class SourceFailure {
  readonly error: unknown

  constructor(error: unknown) {
    this.error = error
  }
}

/**
 * Feeds the whole source to `cutter`, hashing on the way, and answers how many bytes came. The source is never
 * destroyed. Its error comes back as a value, because what came before it is kept; those of the store are thrown.
 */
export async function feed(
  source: ByteSource,
  { cutter, hash }: { cutter: PartCutter; hash: Hash | undefined },
): Promise<{ sizeBytes: number; failure?: SourceFailure }> {
  let sizeBytes = 0
  const chunks = source.iterator({ destroyOnReturn: false })[Symbol.asyncIterator]()
  for (;;) {
    let next: IteratorResult<unknown>
    try {
      next = await chunks.next()
    } catch (error) {
      return { sizeBytes, failure: new SourceFailure(error) }
    }
    if (next.done === true) return { sizeBytes }
    try {
      const chunk = typeof next.value === 'string' ? Buffer.from(next.value) : (next.value as Buffer)
      await cutter.add(chunk)
      hash?.update(chunk)
      sizeBytes += chunk.length
    } catch (error) {
      await chunks.return?.()
      throw error
    }
  }
}

import { BlobError } from '../errors.ts'

/** Buffers that wait to be used again; more than these go back to the system. */
const keptBuffers = 2

/**
 * The memory of all transfers into the store together: `count` buffers of one part each. Whoever holds one can always
 * go on to the end with it alone, so nobody waits for somebody who waits for him.
 */
export class PartBuffers {
  readonly partBytes: number
  readonly #waitMs: number
  readonly #kept: Buffer[] = []
  readonly #waiting = new Set<(buffer: Buffer) => void>()
  #left: number

  constructor(options: { count: number; partBytes: number; waitMs: number }) {
    this.partBytes = options.partBytes
    this.#waitMs = options.waitMs
    this.#left = options.count
  }

  /** A buffer at once, or undefined where none is free or others wait. */
  tryTake(): Buffer | undefined {
    if (this.#left === 0 || this.#waiting.size > 0) return undefined
    this.#left -= 1
    return this.#kept.pop() ?? Buffer.allocUnsafeSlow(this.partBytes)
  }

  /** A buffer, in the order of asking. Throws `storage-unavailable` where none becomes free in time. */
  async take(): Promise<Buffer> {
    const free = this.tryTake()
    if (free !== undefined) return free
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(granted)
        reject(new BlobError('storage-unavailable', 'Too many uploads are under way at once; try again later.'))
      }, this.#waitMs)
      const granted = (buffer: Buffer) => {
        clearTimeout(timer)
        resolve(buffer)
      }
      this.#waiting.add(granted)
    })
  }

  give(buffer: Buffer): void {
    for (const granted of this.#waiting) {
      this.#waiting.delete(granted)
      granted(buffer)
      return
    }
    this.#left += 1
    if (this.#kept.length < keptBuffers) this.#kept.push(buffer)
  }
}

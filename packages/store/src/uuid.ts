import { randomFillSync } from 'node:crypto'

const pool = 4096

/**
 * Makes UUIDv7 (RFC 9562 §5.7) that only ever grow: the twelve bits after the milliseconds are a counter
 * (§6.2, method 1), and when it runs over, or the clock steps back, the time of the last id moves on by itself.
 */
export function createIdSource(now: () => number): () => string {
  const random = Buffer.alloc(pool)
  let used = pool
  let lastMs = 0
  let counter = 0
  return () => {
    if (used + 10 > pool) {
      randomFillSync(random)
      used = 0
    }
    const ms = now()
    if (ms > lastMs) {
      lastMs = ms
      counter = random.readUInt16BE(used) & 0x7ff
    } else if (++counter > 0xfff) {
      lastMs++
      counter = 0
    }
    const time = lastMs.toString(16).padStart(12, '0')
    const variant = ((random.readUInt16BE(used + 2) & 0x3fff) | 0x8000).toString(16)
    const node = random
      .readUIntBE(used + 4, 6)
      .toString(16)
      .padStart(12, '0')
    used += 10
    return `${time.slice(0, 8)}-${time.slice(8)}-7${counter.toString(16).padStart(3, '0')}-${variant}-${node}`
  }
}

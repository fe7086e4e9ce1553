/** One part of a stream, in memory that is used again: `release` it when it is sent. */
export interface Part {
  /** From 1. */
  number: number
  offsetBytes: number
  body: Buffer
  release(): void
}

/**
 * Cuts a stream into parts of equal size, only the last shorter; an empty stream into one empty part. Holds `count`
 * buffers in all and waits for one to be released: the stream comes no faster than its parts go.
 */
export async function* partsOf(
  bytes: AsyncIterable<Buffer>,
  { partBytes, count }: { partBytes: number; count: number },
): AsyncGenerator<Part> {
  const free: Buffer[] = []
  let left = count
  let freed: (() => void) | undefined
  const take = async (): Promise<Buffer> => {
    while (free.length === 0 && left === 0) {
      const { promise, resolve } = Promise.withResolvers<void>()
      freed = resolve
      await promise
    }
    const kept = free.pop()
    if (kept === undefined) left -= 1
    return kept ?? Buffer.allocUnsafeSlow(partBytes)
  }
  let number = 0
  let offsetBytes = 0
  let filledBytes = 0
  let buffer = await take()
  const cut = (): Part => {
    const whole = buffer
    const release = () => {
      free.push(whole)
      freed?.()
    }
    number += 1
    const part = { number, offsetBytes, body: whole.subarray(0, filledBytes), release }
    offsetBytes += filledBytes
    filledBytes = 0
    return part
  }
  for await (const chunk of bytes) {
    for (let rest = chunk; rest.length > 0; ) {
      if (filledBytes === partBytes) {
        yield cut()
        buffer = await take()
      }
      const copied = rest.copy(buffer, filledBytes)
      filledBytes += copied
      rest = rest.subarray(copied)
    }
  }
  yield cut()
}

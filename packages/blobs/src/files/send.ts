import type { FileHandle } from 'node:fs/promises'
import type { Writable } from 'node:stream'
import type { ByteRange } from '../blobs.ts'
import { whileOpen, written } from '../receiver.ts'
import { release } from './release.ts'

/** Two buffers a transfer: one is filled from the file while the other goes out. */
const bufferBytes = 512 * 1024

/**
 * Writes a range of the file into `target`, which is not ended. The same two buffers serve the whole transfer; fresh
 * ones for every read, as a read stream makes them, cost a third of the throughput of large blobs.
 */
export async function send(file: FileHandle, range: ByteRange, target: Writable): Promise<void> {
  const lengthBytes = range.end - range.start + 1
  const size = Math.min(bufferBytes, lengthBytes)
  const slots = [Buffer.allocUnsafeSlow(size), ...(lengthBytes > size ? [Buffer.allocUnsafeSlow(size)] : [])].map(
    (buffer) => ({ buffer, sent: Promise.resolve() }),
  )
  await whileOpen(target, async (gone) => {
    let at = range.start
    for (let index = 0; at <= range.end; index = (index + 1) % slots.length) {
      const slot = slots[index]
      if (slot === undefined) break
      await Promise.race([slot.sent, gone])
      const { bytesRead } = await file.read(slot.buffer, 0, Math.min(size, range.end - at + 1), at)
      if (bytesRead === 0) throw new Error('A blob became shorter while it was read.')
      slot.sent = written(target, slot.buffer.subarray(0, bytesRead))
      slot.sent.catch(() => {})
      at += bytesRead
    }
    await Promise.race([Promise.all(slots.map((slot) => slot.sent)), gone])
    for (const { buffer } of slots) release(buffer)
  })
}

import { open } from 'node:fs/promises'
import { FreeholdError } from '@freehold/contracts'

/** Reads a disk image from its beginning towards its end; an offset never lies before what was read already. */
export interface ForwardReader {
  read(offset: number, sizeBytes: number): Promise<Buffer>
  /** Yields a part of the image. */
  range(offset: number, sizeBytes: number): AsyncGenerator<Buffer>
  close(): Promise<void>
}

const chunkBytes = 1024 * 1024

/** A file is read where it is asked for. */
export async function createFileReader(path: string): Promise<ForwardReader> {
  const file = await open(path, 'r')
  const read = async (offset: number, sizeBytes: number) => {
    const bytes = Buffer.alloc(sizeBytes)
    const { bytesRead } = await file.read(bytes, 0, sizeBytes, offset)
    if (bytesRead < sizeBytes) throw truncated()
    return bytes
  }
  return {
    read,
    async *range(offset, sizeBytes) {
      for (let done = 0; done < sizeBytes; done += chunkBytes) {
        yield await read(offset + done, Math.min(chunkBytes, sizeBytes - done))
      }
    },
    close: () => file.close(),
  }
}

/** A stream is read on and what lies between is passed over. */
export function createStreamReader(stream: AsyncGenerator<Buffer>): ForwardReader {
  let rest: Buffer = Buffer.alloc(0)
  let position = 0
  const next = async (): Promise<Buffer> => {
    if (rest.length > 0) return rest
    const { value, done } = await stream.next()
    if (done) throw truncated()
    rest = value
    return rest
  }
  const take = (sizeBytes: number): Buffer => {
    const taken = rest.subarray(0, sizeBytes)
    rest = rest.subarray(taken.length)
    position += taken.length
    return taken
  }
  async function* range(offset: number, sizeBytes: number): AsyncGenerator<Buffer> {
    if (offset < position) throw new FreeholdError('internal', 'A disk image was to be read backwards.')
    while (position < offset) take(Math.min((await next()).length, offset - position))
    for (let left = sizeBytes; left > 0; ) {
      const taken = take(Math.min((await next()).length, left))
      left -= taken.length
      yield taken
    }
  }
  return {
    range,
    async read(offset, sizeBytes) {
      const chunks: Buffer[] = []
      for await (const chunk of range(offset, sizeBytes)) chunks.push(chunk)
      return Buffer.concat(chunks)
    },
    close: async () => void (await stream.return(undefined)),
  }
}

export function truncated(): FreeholdError {
  return new FreeholdError('invalid-input', 'The base image is truncated: its partitions go on behind its end.')
}

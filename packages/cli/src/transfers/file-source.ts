import { createHash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import type { Hasher, UploadSource } from '@freehold/client'
import { CliError, exitCodes } from '../exit-codes.ts'

/** A file to upload, opened; whoever opens it closes it. */
export interface FileSource extends UploadSource, AsyncDisposable {}

/** Opens a file for an upload. Throws `CliError` where it cannot be read, or is empty or no file. */
export async function openFileSource(file: string): Promise<FileSource> {
  const handle = await openOrSay(file)
  const { size: sizeBytes } = await handle.stat()
  return {
    sizeBytes,
    async read(from, until) {
      const bytes = new Uint8Array(until - from)
      let done = 0
      while (done < bytes.length) {
        const { bytesRead } = await handle.read(bytes, done, bytes.length - done, from + done)
        if (bytesRead === 0)
          throw new CliError(exitCodes.failed, `${file} became shorter while it was read.`, 'Try again.')
        done += bytesRead
      }
      return bytes
    },
    [Symbol.asyncDispose]: () => handle.close(),
  }
}

async function openOrSay(file: string): Promise<FileHandle> {
  try {
    const handle = await open(file, 'r')
    const stat = await handle.stat()
    if (stat.isFile() && stat.size > 0) return handle
    await handle.close()
    throw new Error(stat.isFile() ? 'it is empty' : 'it is no file')
  } catch (error) {
    throw new CliError(
      exitCodes.usage,
      `${file} cannot be read: ${(error as Error).message}`,
      'Check its name and that you may read it.',
    )
  }
}

/** SHA-256 by Node. */
export function createSha256(): Hasher {
  const hash = createHash('sha256')
  return { update: (bytes) => hash.update(bytes), hex: () => hash.digest('hex') }
}

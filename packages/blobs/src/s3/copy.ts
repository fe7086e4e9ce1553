import type { Connection } from './connection.ts'
import { abortMultipart, beginMultipart, completeMultipart, copyPart } from './multipart.ts'

const copiesAtOnce = 4

/** Copies an object within the bucket; one that is too large for one request, in ranges of equal size. */
export async function copyObject(
  connection: Connection,
  options: {
    from: { key: string; etag: string; sizeBytes: number }
    to: string
    /** What one request copies; five gibibytes at most. */
    largestCopyBytes: number
  },
): Promise<void> {
  const { from, to, largestCopyBytes } = options
  if (from.sizeBytes <= largestCopyBytes) {
    await connection.copy({ from: from.key, to, etag: from.etag })
    return
  }
  const multipart = await beginMultipart(connection, to)
  try {
    const ranges = rangesOf(from.sizeBytes, largestCopyBytes)
    const etags: string[] = []
    const left = [...ranges.entries()].reverse()
    const worker = async () => {
      for (let next = left.pop(); next !== undefined; next = left.pop()) {
        const [index, range] = next
        etags[index] = await copyPart(connection, multipart, {
          number: index + 1,
          from: from.key,
          etag: from.etag,
          range,
        }).catch((error: unknown) => {
          left.length = 0
          throw error
        })
      }
    }
    const workers = Array.from({ length: copiesAtOnce }, worker)
    await Promise.allSettled(workers)
    await Promise.all(workers)
    await completeMultipart(connection, multipart, etags)
  } catch (error) {
    // Where the store does not even take this, the sweep finds the parts.
    await abortMultipart(connection, multipart).catch(() => {})
    throw error
  }
}

/** Ranges of `stepBytes`, only the last shorter; both ends included. */
export function rangesOf(sizeBytes: number, stepBytes: number): { start: number; end: number }[] {
  const count = Math.ceil(sizeBytes / stepBytes)
  return Array.from({ length: count }, (_, index) => ({
    start: index * stepBytes,
    end: Math.min((index + 1) * stepBytes, sizeBytes) - 1,
  }))
}

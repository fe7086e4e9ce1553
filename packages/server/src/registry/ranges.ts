import type { ByteRange } from '@freehold/blobs'

/**
 * The `Range` header against content of `sizeBytes` (RFC 9110 §14.1.2, §14.2). `whole`: no range, or one that may
 * be ignored (another unit, several ranges, broken syntax).
 */
export function parseRange(header: string | undefined, sizeBytes: number): ByteRange | 'whole' | 'unsatisfiable' {
  const match = /^bytes=\s*(\d*)-(\d*)\s*$/i.exec(header ?? '')
  if (match === null) return 'whole'
  const [, first = '', last = ''] = match
  if (first === '') return last === '' ? 'whole' : suffix(Number(last), sizeBytes)
  const start = Number(first)
  const end = last === '' ? sizeBytes - 1 : Math.min(Number(last), sizeBytes - 1)
  if (last !== '' && Number(last) < start) return 'whole'
  return start >= sizeBytes ? 'unsatisfiable' : { start, end }
}

function suffix(lengthBytes: number, sizeBytes: number): ByteRange | 'unsatisfiable' {
  if (lengthBytes === 0 || sizeBytes === 0) return 'unsatisfiable'
  return { start: Math.max(0, sizeBytes - lengthBytes), end: sizeBytes - 1 }
}

/**
 * The `Content-Range` of a chunk: `<start>-<end>`, both included, without a unit (OCI Distribution 1.1, "Pushing a
 * blob in chunks"). Undefined for anything else.
 */
export function parseChunkRange(header: string): ByteRange | undefined {
  const match = /^(\d{1,16})-(\d{1,16})$/.exec(header)
  if (match === null) return undefined
  const range = { start: Number(match[1]), end: Number(match[2]) }
  const sound = Number.isSafeInteger(range.start) && Number.isSafeInteger(range.end) && range.start <= range.end
  return sound ? range : undefined
}

/** `Range` of an upload holding so many bytes; an empty one says `0-0`, as clients of the Docker registry expect. */
export function uploadRange(sizeBytes: number): string {
  return `0-${Math.max(0, sizeBytes - 1)}`
}

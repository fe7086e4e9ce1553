import { createHmac, timingSafeEqual } from 'node:crypto'
import { FreeholdError } from '@freehold/contracts'

const sealBytes = 16

/** A cursor is the last id (or version) of a page, sealed for one kind and one set of filters with a key only the store knows. */
export function encodeCursor(key: string, scope: string, id: string): string {
  return Buffer.concat([seal(key, scope, id), Buffer.from(id)]).toString('base64url')
}

/** The id in a cursor. Throws `invalid-cursor` for one that was changed, made up, or given out for another list. */
export function decodeCursor(key: string, scope: string, cursor: string): string {
  const bytes = Buffer.from(cursor, 'base64url')
  const id = bytes.subarray(sealBytes).toString()
  const genuine =
    bytes.length > sealBytes &&
    bytes.toString('base64url') === cursor &&
    timingSafeEqual(bytes.subarray(0, sealBytes), seal(key, scope, id))
  if (!genuine) {
    throw new FreeholdError(
      'invalid-cursor',
      'The page cursor does not belong to this list; start from the first page.',
    )
  }
  return id
}

function seal(key: string, scope: string, id: string): Buffer {
  return createHmac('sha256', key).update(`${scope}\n${id}`).digest().subarray(0, sealBytes)
}

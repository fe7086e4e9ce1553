import { createHmac, timingSafeEqual } from 'node:crypto'
import { FreeholdError } from '@freehold/contracts'
import type { Secret } from '../secrets/index.ts'

/** Addresses that carry their own permission: HMAC-SHA-256 over path and end of validity. */
export interface UrlSigner {
  /** The path with `expires` (seconds since 1970) and `signature`. */
  sign(path: string, expiresAtMs: number): string
  /** Throws `forbidden` with a sentence for one that is not ours, or not good any more. */
  check(path: string, query: URLSearchParams): void
}

export function createUrlSigner({ key, now }: { key: Secret<Buffer>; now: () => number }): UrlSigner {
  const signatureOf = (path: string, expires: string) =>
    createHmac('sha256', key.reveal()).update(`${expires}\n${path}`).digest()
  return {
    sign(path, expiresAtMs) {
      const expires = String(Math.floor(expiresAtMs / 1000))
      return `${path}?expires=${expires}&signature=${signatureOf(path, expires).toString('base64url')}`
    },
    check(path, query) {
      const expires = query.get('expires') ?? ''
      const given = Buffer.from(query.get('signature') ?? '', 'base64url')
      const right = signatureOf(path, expires)
      if (!/^\d{1,12}$/.test(expires) || given.length !== right.length || !timingSafeEqual(given, right)) {
        throw new FreeholdError(
          'forbidden',
          'This address was not given out here, or was changed. Ask for another one.',
        )
      }
      if (Number(expires) * 1000 <= now()) {
        throw new FreeholdError('forbidden', 'This address is no longer good. Ask for another one.')
      }
    },
  }
}

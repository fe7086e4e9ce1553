import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { corebuildTokenHeader, FreeholdError, type Secret } from '@freehold/contracts'

/**
 * Throws `unauthenticated` unless the token is in one of its three places: `Authorization: Bearer`, `x-corebuild-token`, or
 * `apiToken` of the body. All are compared, each in constant time, so that time tells nothing of any.
 */
export function requireToken(
  token: Secret | null,
  { headers, body }: { headers: IncomingHttpHeaders; body: unknown },
): void {
  if (token === null) return
  const right = digestOf(token.reveal())
  const isRight = placesOf(headers, body).map((given) => timingSafeEqual(digestOf(given), right))
  if (isRight.includes(true)) return
  throw new FreeholdError(
    'unauthenticated',
    'The token of this build worker did not come with the request: send it as "Authorization: Bearer …".',
  )
}

function placesOf(headers: IncomingHttpHeaders, body: unknown): string[] {
  const bearer = /^Bearer +(\S+) *$/i.exec(headers.authorization ?? '')?.[1]
  const own = headers[corebuildTokenHeader]
  const inBody = typeof body === 'object' && body !== null && 'apiToken' in body ? body.apiToken : undefined
  return [bearer, own, inBody].map((given) => (typeof given === 'string' ? given : ''))
}

function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

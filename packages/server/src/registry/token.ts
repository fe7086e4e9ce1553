import { createHmac, randomUUID, timingSafeEqual } from 'node:crypto'
import type { Actor } from '@freehold/store'
import { z } from 'zod'

/** A bearer token's content: a JWT (RFC 7519) as the Docker registry's token specification lays it out. */
const claimsSchema = z.object({
  iss: z.literal('freehold'),
  aud: z.string(),
  sub: z.string(),
  /** Seconds since 1970. */
  iat: z.number(),
  exp: z.number(),
  jti: z.string(),
  actor: z.object({ type: z.enum(['user', 'token', 'agent', 'system']), id: z.string(), name: z.string() }),
  /** Of a device: it is looked up again with each request. */
  device: z.object({ deviceId: z.string(), credentialId: z.string() }).optional(),
  access: z.array(z.object({ type: z.string(), name: z.string(), actions: z.array(z.string()) })),
})
export type Claims = z.output<typeof claimsSchema>

export interface TokenIssuer {
  /** A token for `access`, valid from `now` to `expiresAt` (milliseconds since 1970, rounded down to seconds). */
  issue(input: {
    actor: Actor
    access: Claims['access']
    device?: Claims['device']
    now: number
    expiresAt: number
  }): string
  /** What the token says. `foreign`: not one of ours at all; `expired`: ours once. */
  verify(token: string, now: number): Claims | 'foreign' | 'expired'
}

const header = encode({ typ: 'JWT', alg: 'HS256' })

/**
 * Signs and checks tokens with HMAC-SHA256 (RFC 7518 §3.2). Every replica has the same key, so that each takes the
 * tokens of every other. The header is fixed: no other algorithm can be asked for.
 */
export function createTokenIssuer({ key, service }: { key: string | Uint8Array; service: string }): TokenIssuer {
  const sign = (text: string) => createHmac('sha256', key).update(text).digest()
  return {
    issue({ actor, access, device, now, expiresAt }) {
      const claims: Claims = {
        iss: 'freehold',
        aud: service,
        sub: actor.name,
        iat: Math.floor(now / 1000),
        exp: Math.floor(expiresAt / 1000),
        jti: randomUUID(),
        actor: { type: actor.type, id: actor.id, name: actor.name },
        access,
        ...(device === undefined ? {} : { device }),
      }
      const signed = `${header}.${encode(claims)}`
      return `${signed}.${sign(signed).toString('base64url')}`
    },
    verify(token, now) {
      const at = token.lastIndexOf('.')
      if (!token.startsWith(`${header}.`) || at <= header.length) return 'foreign'
      const given = Buffer.from(token.slice(at + 1), 'base64url')
      const expected = sign(token.slice(0, at))
      if (given.length !== expected.length || !timingSafeEqual(given, expected)) return 'foreign'
      const claims = claimsSchema.safeParse(JSON.parse(decode(token.slice(header.length + 1, at))))
      if (!claims.success || claims.data.aud !== service) return 'foreign'
      return claims.data.exp * 1000 <= now ? 'expired' : claims.data
    },
  }
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}

function decode(text: string): string {
  return Buffer.from(text, 'base64url').toString('utf8')
}

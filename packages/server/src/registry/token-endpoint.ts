import type { Actor } from '@freehold/store'
import { type Access, type DeviceProof, grant, grantAnonymous, type RegistryUser } from './access.ts'
import { RegistryError } from './errors.ts'
import { type Exchange, readBody, sendJson } from './exchange.ts'
import { parseScopes, type Scope, scopeText } from './scope.ts'
import type { TokenIssuer } from './token.ts'

/** How long a token lasts: below 60 s the Docker client does not believe it. */
const tokenLifetimeMs = 5 * 60_000
const formLimitBytes = 64 * 1024
const anonymous: Actor = { type: 'user', id: 'anonymous', name: 'anonymous' }

type Arrival = Pick<Exchange, 'request' | 'response' | 'query' | 'client'>

/**
 * `/v2/token`. GET takes HTTP Basic (Docker Registry, "Token Authentication Specification"); POST takes a form with
 * `grant_type=password`, or `refresh_token` where the value is a machine token ("OAuth2 Token Authentication").
 * The token grants what may be granted of the scopes asked for, which may be nothing. Without credentials it grants
 * pulling from public repositories; where none is among the scopes, be they private or not there, it asks to sign in.
 */
export function createTokenEndpoint(options: {
  access: Access
  issuer: TokenIssuer
  realm: string
  now: () => number
  idleTimeoutMs: number
  isPublic: (repository: string) => Promise<boolean>
}) {
  const { access, issuer, now, isPublic } = options

  async function answer(arrival: Arrival, user: RegistryUser, scopes: readonly string[]): Promise<void> {
    const granted = await grant(user, parseScopes(scopes))
    const { expiresAt } = user.identity
    const endsAt = expiresAt === null ? Number.POSITIVE_INFINITY : Date.parse(expiresAt)
    const { device } = user
    const proof = device && { deviceId: device.deviceId, credentialId: device.credentialId }
    hand(arrival, { actor: user.actor, granted, endsAt, device: proof })
  }

  function hand(
    arrival: Arrival,
    {
      actor,
      granted,
      endsAt,
      device,
    }: { actor: Actor; granted: Scope[]; endsAt: number; device?: DeviceProof | undefined },
  ): void {
    const issuedAt = now()
    const expiresAt = Math.min(issuedAt + tokenLifetimeMs, endsAt)
    const token = issuer.issue({ actor, access: granted, device, now: issuedAt, expiresAt })
    const body = {
      token,
      access_token: token,
      token_type: 'Bearer',
      scope: granted.map(scopeText).join(' '),
      expires_in: Math.max(0, Math.floor((expiresAt - issuedAt) / 1000)),
      issued_at: new Date(issuedAt).toISOString(),
    }
    sendJson(arrival, 200, body, { 'cache-control': 'no-store' })
  }

  const refuse = (message: string) =>
    new RegistryError('unauthorized', message, {
      headers: { 'www-authenticate': `Basic realm="${options.realm}"`, 'cache-control': 'no-store' },
    })

  async function get(arrival: Arrival): Promise<void> {
    const user = await access.basicUser(arrival.request, arrival.client)
    const scopes = arrival.query.getAll('scope')
    if (user !== undefined) return answer(arrival, user, scopes)
    const granted = await grantAnonymous(parseScopes(scopes), isPublic)
    if (granted.length === 0) throw refuse('Send user name and password, or a machine token as the password.')
    hand(arrival, { actor: anonymous, granted, endsAt: Number.POSITIVE_INFINITY })
  }

  async function post(arrival: Arrival): Promise<void> {
    const body = await readBody(arrival.request, {
      limitBytes: formLimitBytes,
      idleTimeoutMs: options.idleTimeoutMs,
      tooLarge: () => new RegistryError('size-invalid', `The form is larger than ${formLimitBytes} bytes.`),
    })
    const form = new URLSearchParams(body.toString('utf8'))
    const byHeader = await access.basicUser(arrival.request, arrival.client)
    const user = byHeader ?? (await userOfForm(form, arrival))
    await answer(arrival, user, form.getAll('scope'))
  }

  async function userOfForm(form: URLSearchParams, { client }: Arrival): Promise<RegistryUser> {
    const grantType = form.get('grant_type')
    const password = grantType === 'refresh_token' ? form.get('refresh_token') : form.get('password')
    if ((grantType !== 'password' && grantType !== 'refresh_token') || password === null || password === '') {
      throw refuse('Send grant_type=password with username and password, or grant_type=refresh_token with a token.')
    }
    const username = grantType === 'password' ? (form.get('username') ?? '') : '<token>'
    return access.checkPassword(username, password, client)
  }

  return (arrival: Arrival): Promise<void> => (arrival.request.method === 'POST' ? post(arrival) : get(arrival))
}

import type { IncomingMessage } from 'node:http'
import { FreeholdError, type Identity, mayDo, repositorySchema } from '@freehold/contracts'
import type { Actor } from '@freehold/store'
import type { Client } from '../http/handler.ts'
import { RegistryError } from './errors.ts'
import { allows, type RepositoryAction, type Scope, scopeText } from './scope.ts'
import type { TokenIssuer } from './token.ts'

/** Somebody whose credentials were right. What the role may do is the contract's access table's to say. */
export interface RegistryUser {
  identity: Pick<Identity, 'role' | 'expiresAt'>
  actor: Actor
  /** Narrows pulling beyond the role: an agent pulls only what its cluster runs. */
  mayPull(repository: string): boolean | Promise<boolean>
  /** Of a device: what of a repository it pulls at all. Absent: all of it. */
  device?: PullingDevice
}

/** A device that proved itself, for one request. */
export interface PullingDevice extends DeviceProof {
  /** The manifests of a repository that it may pull, with what they consist of and what refers to them. */
  digestsIn(repository: string): Promise<ReadonlySet<string>>
}

/** Whose token of ours it is, and by which of the device's own it was had. */
export interface DeviceProof {
  deviceId: string
  credentialId: string
}

/** What a device may pull now; null where the credential has ended, or the device was shut out. */
export type DeviceAgain = (proof: DeviceProof) => Promise<RegistryUser | null>

/**
 * Checks user name and password; null where they are wrong. Passwords, machine tokens and the pull credentials of
 * clusters all come this way. Throws `too-many-requests` where someone guesses.
 */
export type AuthenticateBasic = (username: string, password: string, client: Client) => Promise<RegistryUser | null>

/** Checks a bearer value that is no token of the registry (a session, a machine token); null where it is none. */
export type AuthenticateBearer = (token: string, client: Client) => Promise<RegistryUser | null>

/** Who makes a request, and what they may do with it. */
export interface Visitor {
  actor: Actor
  /** By a token of ours, whose scopes may be too narrow; a wider one can be had. */
  byToken: boolean
  may(action: RepositoryAction, repository: string): Promise<boolean>
  mayList(): boolean
  /** Of a device: the manifests of a repository that it may pull. Absent: all. */
  digestsIn?: PullingDevice['digestsIn']
}

/** `repository:<name>:<actions>`, or the catalogue. */
export interface Need extends Scope {
  type: 'repository' | 'registry'
}

export interface AccessOptions {
  issuer: TokenIssuer
  /** Where tokens are had, and what they are for; both part of the challenge. */
  realm: string
  service: string
  authenticateBasic: AuthenticateBasic
  authenticateBearer?: AuthenticateBearer
  /** Asked with each request that brings a token of ours for a device; absent: there are no devices. */
  deviceAgain?: DeviceAgain
  now: () => number
}

export interface Access {
  /** Checks the Authorization header. Throws `unauthorized` with the challenge for `needs`. */
  authenticate(request: IncomingMessage, client: Client, needs: readonly Need[]): Promise<Visitor>
  /** Throws `unauthorized` (a wider token may help) or `denied`. */
  authorize(visitor: Visitor, needs: readonly Need[]): Promise<void>
  /** Throws `unauthorized` where they are wrong. */
  checkPassword(username: string, password: string, client: Client): Promise<RegistryUser>
  /** Who an `Authorization: Basic` header names, undefined where there is none. Throws `unauthorized`. */
  basicUser(request: IncomingMessage, client: Client): Promise<RegistryUser | undefined>
}

/** The one place where the registry decides who may do what. */
export function createAccess(options: AccessOptions): Access {
  const { issuer, realm, service, authenticateBasic, authenticateBearer, deviceAgain, now } = options

  const refuse = (message: string, needs: readonly Need[], error?: string) => {
    const scope = needs.map(scopeText).join(' ')
    const parts = { realm, service, ...(scope === '' ? {} : { scope }), ...(error === undefined ? {} : { error }) }
    const challenge = Object.entries(parts).map(([name, value]) => `${name}="${value}"`)
    return new RegistryError('unauthorized', message, {
      ...(needs.length === 0 ? {} : { detail: needs }),
      headers: { 'www-authenticate': `Bearer ${challenge.join(',')}` },
    })
  }

  const checkPassword: Access['checkPassword'] = async (username, password, client) => {
    const user = await nullIfWrong(authenticateBasic(username, password, client))
    if (user === null) throw refuse('The user name, the password or the token is wrong.', [])
    return user
  }
  const basicUser: Access['basicUser'] = async (request, client) => {
    const credentials = parseBasic(request.headers.authorization)
    return credentials && checkPassword(credentials.username, credentials.password, client)
  }

  const bearerVisitor = async (token: string, client: Client, needs: readonly Need[]): Promise<Visitor> => {
    const claims = issuer.verify(token, now())
    if (claims === 'expired') throw refuse('The token has expired; ask for a new one.', needs, 'invalid_token')
    if (claims !== 'foreign') {
      const granted = (action: string, name: string) => allows(claims.access, { type: 'repository', name, action })
      if (claims.device !== undefined) {
        const user = (await deviceAgain?.(claims.device)) ?? null
        if (user === null)
          throw refuse('The device may not pull any more, or has another token.', needs, 'invalid_token')
        const visitor = visitorOf(user)
        const may: Visitor['may'] = async (action, name) => granted(action, name) && visitor.may(action, name)
        return { ...visitor, byToken: true, may }
      }
      return {
        actor: claims.actor,
        byToken: true,
        may: async (action, name) => granted(action, name),
        mayList: () => allows(claims.access, { type: 'registry', name: 'catalog', action: '*' }),
      }
    }
    const user = authenticateBearer === undefined ? null : await nullIfWrong(authenticateBearer(token, client))
    if (user === null) throw refuse('The token is not one of this registry.', needs, 'invalid_token')
    return visitorOf(user)
  }

  return {
    checkPassword,
    basicUser,
    async authenticate(request, client, needs) {
      const bearer = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1]
      if (bearer !== undefined) return bearerVisitor(bearer, client, needs)
      const user = await basicUser(request, client)
      if (user === undefined) throw refuse('Sign in to use this registry.', needs)
      return visitorOf(user)
    },
    async authorize(visitor, needs) {
      for (const need of needs) {
        if (await isMet(visitor, need)) continue
        const message = `You may not ${describeNeed(need)}.`
        throw visitor.byToken ? refuse(message, needs, 'insufficient_scope') : new RegistryError('denied', message)
      }
    },
  }
}

/** What anybody may do of what was asked for: pull from public repositories. Of others it says nothing. */
export async function grantAnonymous(
  wanted: readonly Scope[],
  isPublic: (repository: string) => Promise<boolean>,
): Promise<Scope[]> {
  const granted: Scope[] = []
  for (const { type, name, actions } of wanted) {
    if (type !== 'repository' || !actions.includes('pull') || !repositorySchema.safeParse(name).success) continue
    if (await isPublic(name)) granted.push({ type, name, actions: ['pull'] })
  }
  return granted
}

/** What the user may do of what was asked for; scopes of which nothing is left are left out. */
export async function grant(user: RegistryUser, wanted: readonly Scope[]): Promise<Scope[]> {
  const visitor = visitorOf(user)
  const granted: Scope[] = []
  for (const { type, name, actions } of wanted) {
    const allowed: string[] = []
    for (const action of actions) {
      if (await isMet(visitor, { type, name, actions: [action] })) allowed.push(action)
    }
    if (allowed.length > 0) granted.push({ type, name, actions: allowed })
  }
  return granted
}

function visitorOf({ identity, actor, mayPull, device }: RegistryUser): Visitor {
  return {
    actor,
    byToken: false,
    async may(action, repository) {
      if (action !== 'pull') return mayDo(identity.role, 'images:push')
      return mayDo(identity.role, 'images:pull') && (await mayPull(repository))
    },
    mayList: () => mayDo(identity.role, 'images:read'),
    ...(device === undefined ? {} : { digestsIn: device.digestsIn }),
  }
}

async function isMet(visitor: Visitor, need: Scope): Promise<boolean> {
  if (need.type === 'registry') {
    return need.name === 'catalog' && need.actions.every((action) => action === '*') && visitor.mayList()
  }
  if (need.type !== 'repository') return false
  for (const action of need.actions) {
    if (action !== 'pull' && action !== 'push' && action !== 'delete') return false
    if (!(await visitor.may(action, need.name))) return false
  }
  return true
}

function describeNeed({ type, name, actions }: Need): string {
  if (type === 'registry') return 'list the repositories'
  const admin = actions.some((action) => action !== 'pull') ? '; that needs an administrator or a token of one' : ''
  return `${actions.join(' and ')} ${name}${admin}`
}

async function nullIfWrong(work: Promise<RegistryUser | null>): Promise<RegistryUser | null> {
  try {
    return await work
  } catch (error) {
    const wrong = ['wrong-credentials', 'unauthenticated', 'token-expired']
    if (error instanceof FreeholdError && wrong.includes(error.code)) return null
    throw error
  }
}

/** RFC 7617 §2: the password is all after the first colon. */
function parseBasic(header: string | undefined): { username: string; password: string } | undefined {
  const encoded = /^Basic +([A-Za-z0-9+/=_-]+)$/i.exec(header ?? '')?.[1]
  if (encoded === undefined) return undefined
  const text = Buffer.from(encoded, 'base64').toString('utf8')
  const at = text.indexOf(':')
  return at < 0 ? undefined : { username: text.slice(0, at), password: text.slice(at + 1) }
}

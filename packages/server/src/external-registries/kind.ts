import { type ExternalRegistry, FreeholdError, type Image, registryHostOf, splitImageName } from '@freehold/contracts'

type Data = ExternalRegistry['data']
type Location = Image['data']['location']

/** What people say of a registry. */
export type Described = Omit<Data, 'sealedPassword' | 'passwordSet'>
/** Undefined: as it was; null: none. */
export type PasswordChange = string | null | undefined

/** Faults that no schema of one field sees. Throws `invalid-input`. */
export function checkRegistry({ type, url, username }: Described, passwordSet: boolean): void {
  if (type === 'docker' && !/^\/(v[12]\/?)?$/.test(new URL(url).pathname)) {
    throw fault('url', 'a container registry stands at the root of a host: leave the path out')
  }
  if (type === 'docker' && username.includes(':'))
    throw fault('username', 'no colon: Basic credentials cannot carry one')
  if (type === 'docker' && username === '' && passwordSet) throw fault('username', 'a password needs a user name')
}

/** A password was given for one address and one user. Throws `invalid-input` where it would go to another one. */
export function refusePasswordElsewhere(before: Data, after: Described, password: PasswordChange): void {
  if (!before.passwordSet || password !== undefined) return
  const isSame =
    before.type === after.type &&
    new URL(before.url).origin === new URL(after.url).origin &&
    before.username === after.username
  if (isSame) return
  throw fault(
    'password',
    `the stored one is for ${before.username === '' ? '' : `${before.username} at `}${new URL(before.url).host}: give it again, or null to drop it`,
  )
}

/** Where the registry answers: Docker Hub's API has a name of its own. */
export function apiUrlOf({ url }: Pick<Data, 'url'>): URL {
  return registryHostOf(url) === 'docker.io' ? new URL('https://registry-1.docker.io/') : new URL(url)
}

/** Whether a location fits the registry it names. Throws `conflict`. */
export function checkLocation(location: Location, registry: ExternalRegistry): void {
  const { type, url, name } = registry.data
  if (type !== 'docker') {
    throw new FreeholdError('conflict', `${name} is a registry of npm packages; images come from one of type docker.`)
  }
  if (location.internal) return
  const host = registryHostOf(url)
  if (splitImageName(location.externalImage).host === host) return
  throw new FreeholdError(
    'conflict',
    `${location.externalImage} is not at ${host}, which is where ${name} is. Name an image of that registry, or another registry.`,
  )
}

function fault(field: string, message: string): FreeholdError {
  return new FreeholdError('invalid-input', `data.${field}: ${message}.`, {
    details: [{ path: `data.${field}`, message }],
  })
}

import { type Action, FreeholdError, kinds, mayDo, type Role } from '@freehold/contracts'

/** Which right lets one see the changes of a kind: the one that lets one read it. A kind without a line does not compile. */
const actionOf: Record<keyof typeof kinds, Action> = {
  user: 'users:read',
  token: 'tokens:read',
  session: 'users:read',
  cluster: 'clusters:read',
  node: 'nodes:read',
  enrolment: 'clusters:write',
  service: 'services:read',
  revision: 'services:read',
  rollout: 'services:read',
  device: 'devices:read',
  deviceCredential: 'audit:read',
  joinToken: 'join-tokens:read',
  release: 'releases:read',
  releaseImage: 'releases:read',
  channel: 'releases:read',
  deviceGroup: 'releases:read',
  releaseRollout: 'releases:read',
  updateMetadata: 'releases:read',
  updateKey: 'audit:read',
  updateTarget: 'releases:read',
  settings: 'settings:read',
  image: 'images:read',
  manifest: 'images:read',
  tag: 'images:read',
  blobLink: 'images:read',
  condemned: 'images:read',
  damagedBlob: 'images:read',
  scrub: 'images:read',
  installation: 'audit:read',
  repositoryUsage: 'images:read',
  externalRegistry: 'external-registries:read',
  baseImage: 'builds:read',
  build: 'builds:read',
}

/** Kind names the role may watch, in the order of the contract. */
function readableKinds(role: Role): string[] {
  return Object.entries(kinds)
    .filter(([key]) => mayDo(role, actionOf[key as keyof typeof kinds]))
    .map(([, kind]) => kind.name)
}

/** The kinds of a `kinds=service,rollout` parameter. Throws `invalid-input` for an unknown one, `forbidden` for others. */
export function askedKinds(parameter: string | undefined, role: Role): string[] {
  const readable = readableKinds(role)
  if (parameter === undefined) return readable
  const known = new Set<string>(Object.values(kinds).map((kind) => kind.name))
  const asked = [...new Set(parameter.split(',').map((name) => name.trim()))]
  for (const name of asked) {
    if (!known.has(name)) {
      throw new FreeholdError('invalid-input', `There is no kind "${name.slice(0, 64)}".`, {
        details: [{ path: 'query.kinds', message: `one or more of ${[...known].join(', ')}` }],
      })
    }
    if (!readable.includes(name)) throw new FreeholdError('forbidden', `The role ${role} may not watch ${name}.`)
  }
  return asked
}

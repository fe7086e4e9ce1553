/**
 * Who may do what. Every request becomes (subject, action, resource) at one place in the server and is
 * denied unless this table says otherwise.
 */
export const roles = ['admin', 'user', 'api', 'cluster'] as const
export type Role = (typeof roles)[number]

export const actions = [
  'status:read',
  'changes:read',
  'identity:self',
  'users:read',
  'users:write',
  'tokens:read',
  'tokens:write',
  'audit:read',
  'clusters:read',
  'clusters:write',
  'nodes:read',
  'nodes:write',
  'services:read',
  'services:write',
  'services:deploy',
  'services:logs',
  'devices:read',
  'devices:write',
  'join-tokens:read',
  'join-tokens:write',
  'releases:read',
  'releases:write',
  'updates:write',
  'builds:read',
  'builds:write',
  'settings:read',
  'settings:write',
  'images:read',
  'images:write',
  'images:pull',
  'images:push',
  'external-registries:read',
  'external-registries:write',
  'plan:read',
  'plan:apply',
] as const
export type Action = (typeof actions)[number]

/** Reads everything but identities. */
const reader: Action[] = [
  'status:read',
  'changes:read',
  'identity:self',
  'clusters:read',
  'nodes:read',
  'services:read',
  'services:logs',
  'devices:read',
  'releases:read',
  'builds:read',
  'images:read',
  'images:pull',
  'external-registries:read',
  'plan:read',
]

const operator: Action[] = [
  ...reader,
  'services:write',
  'services:deploy',
  'devices:write',
  'join-tokens:read',
  'join-tokens:write',
  'releases:write',
  'builds:write',
  'plan:apply',
]

/**
 * `admin`: everything. `user`: a person who runs services and devices. `api`: a machine token that may do what a user may.
 * `cluster`: an agent, of a cluster or on a device; it has its own link and may otherwise only pull images. Push is for admins alone
 * (document of the registry's token rule: push and delete need the admin role).
 */
export const roleActions: Record<Role, readonly Action[]> = {
  admin: actions,
  user: operator,
  api: operator,
  cluster: ['images:pull'],
}

/** `public` routes answer anyone; every other route names the action it needs. */
export type Access = 'public' | Action

/** True where the role may do the action. */
export function mayDo(role: Role, action: Action): boolean {
  return roleActions[role].includes(action)
}

/** What a bearer token may be used for (Docker Registry, "Token Scope Documentation"). */
export interface Scope {
  type: string
  name: string
  actions: string[]
}

const repositoryActions = ['pull', 'push', 'delete'] as const
export type RepositoryAction = (typeof repositoryActions)[number]

/** More than any client asks for at once. */
const scopeLimit = 100

/**
 * Parses scopes `type:name:action,action`; each text may hold several, divided by spaces. `*` among the actions of a
 * repository means all of them. What does not parse is left out: a token then simply does not grant it.
 */
export function parseScopes(texts: readonly string[]): Scope[] {
  const scopes = texts
    .flatMap((text) => text.split(' '))
    .slice(0, scopeLimit)
    .flatMap((text) => parseScope(text) ?? [])
  return scopes
}

function parseScope(text: string): Scope | undefined {
  const first = text.indexOf(':')
  const last = text.lastIndexOf(':')
  if (first < 1 || last === first) return undefined
  const type = text.slice(0, first).replace(/\([a-z0-9]*\)$/, '')
  const name = text.slice(first + 1, last)
  const actions = [...new Set(text.slice(last + 1).split(','))].filter((action) => action !== '')
  if (name === '' || actions.length === 0) return undefined
  if (type === 'repository' && actions.includes('*')) return { type, name, actions: [...repositoryActions] }
  return { type, name, actions }
}

export function scopeText({ type, name, actions }: Scope): string {
  return `${type}:${name}:${actions.join(',')}`
}

/** True where one of the scopes allows the action. */
export function allows(scopes: readonly Scope[], wanted: { type: string; name: string; action: string }): boolean {
  return scopes.some(
    (scope) => scope.type === wanted.type && scope.name === wanted.name && scope.actions.includes(wanted.action),
  )
}

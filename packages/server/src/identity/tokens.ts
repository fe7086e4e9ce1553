import { FreeholdError, type Identity, type TokenResource, tokenKind, userKind } from '@freehold/contracts'
import type { Store, Stored } from '@freehold/store'
import type { Handlers } from '../http/handler.ts'
import { getResource, listResources, present } from '../http/resources.ts'
import { makeCredential } from './credential.ts'
import { covers } from './rules.ts'

const dayMs = 86_400_000
const defaultLifeMs = 365 * dayMs
const longestLifeMs = 10 * 365 * dayMs

/** Machine tokens: shown once, bounded by role and time, gone with their user. */
export function createTokens(options: { store: Store; now: () => number; changed: () => void }): Handlers<'tokens'> {
  const { store, now, changed } = options
  return {
    async list({ query }) {
      const page = await listResources(store, tokenKind, query)
      const facts = await store.facts.getMany(
        tokenKind,
        page.items.map((token) => token.id),
      )
      return { ...page, items: page.items.map((token) => withLastUse(token, facts.get(token.id))) }
    },

    async get({ params }) {
      const token = present(tokenKind, await getResource(store, tokenKind, params.id))
      return withLastUse(token, await store.facts.get(tokenKind, params.id))
    },

    async create({ body, caller }) {
      const { name, role, expiresAt } = body.data
      const creator = signedIn(caller.identity)
      if (!covers(creator.role, role)) {
        throw new FreeholdError('forbidden', `The role ${creator.role} may not make a token of the role ${role}.`)
      }
      const { value, hash, start } = makeCredential('fht_')
      const token = await store.transaction(caller.actor, async (transaction) => {
        await getResource(transaction, userKind, creator.userId)
        return transaction.create(tokenKind, {
          data: { name, role, userId: creator.userId, expiresAt: lifeUntil(expiresAt, now()), prefix: start, hash },
        })
      })
      return { resource: withLastUse(present(tokenKind, token), undefined), token: value }
    },

    async delete({ params, query, caller }) {
      await store.transaction(caller.actor, async (transaction) => {
        await getResource(transaction, tokenKind, params.id)
        await transaction.delete(
          tokenKind,
          params.id,
          query.version === undefined ? {} : { expectedVersion: query.version },
        )
      })
      changed()
    },
  }
}

function lifeUntil(asked: string | undefined, now: number): string {
  if (asked === undefined) return new Date(now + defaultLifeMs).toISOString()
  const lifeMs = Date.parse(asked) - now
  if (lifeMs > 0 && lifeMs <= longestLifeMs) return asked
  const message = lifeMs <= 0 ? 'must lie in the future' : 'must be at most ten years from now'
  throw new FreeholdError('invalid-input', `data.expiresAt: ${message}.`, {
    details: [{ path: 'data.expiresAt', message }],
  })
}

function signedIn(identity: Identity | null): Identity {
  if (identity === null) throw new FreeholdError('unauthenticated')
  return identity
}

function withLastUse(token: Stored<typeof tokenKind>, facts: Record<string, unknown> | undefined) {
  const { hash: _, ...data } = token.data as Partial<TokenResource['data']> & Omit<TokenResource['data'], 'hash'>
  const lastUsedAt = facts?.lastUsedAt
  return { ...token, data, status: { lastUsedAt: typeof lastUsedAt === 'string' ? lastUsedAt : null } }
}

import { type JoinToken, joinTokenKind } from '@freehold/contracts'
import type { Reads, Store, Transaction } from '@freehold/store'
import type { Handlers } from '../http/handler.ts'
import { getResource, listResources, present } from '../http/resources.ts'
import type { RuntimeSettings } from '../settings/index.ts'
import { hashOf, makeToken } from './credentials.ts'
import type { JoinTokenVerdict } from './enrolment.ts'

/** Handlers of the noun. */
export function createJoinTokenHandlers(options: {
  store: Store
  publicUrl: () => string
  now: () => number
}): Handlers<'joinTokens'> {
  const { store, publicUrl, now } = options
  return {
    list: ({ query }) => listResources(store, joinTokenKind, query),
    get: async ({ params }) => present(joinTokenKind, await getResource(store, joinTokenKind, params.id)),
    async create({ body: { data, labels }, caller }) {
      const { expiresInSeconds, buildId, uses, ...rest } = data
      const token = makeToken('fhd_')
      const resource = await store.transaction(caller.actor, (transaction) =>
        transaction.create(joinTokenKind, {
          data: {
            ...rest,
            purpose: buildId === undefined ? 'named' : 'provisioning',
            buildId: buildId ?? null,
            uses: buildId === undefined ? uses : 1,
            expiresAt: new Date(now() + expiresInSeconds * 1000).toISOString(),
            revoked: false,
            prefix: token.start,
            hash: token.hash,
          },
          ...(labels === undefined ? {} : { labels }),
        }),
      )
      return {
        resource: present(joinTokenKind, resource),
        joinToken: token.value,
        configuration: configurationFor({ publicUrl: publicUrl(), joinToken: token.value }),
      }
    },
    revoke: ({ params, caller }) =>
      store.transaction(caller.actor, async (transaction) => {
        const { data } = await getResource(transaction, joinTokenKind, params.id)
        return present(
          joinTokenKind,
          await transaction.update(joinTokenKind, params.id, { data: { ...data, revoked: true } }),
        )
      }),
    async delete({ params, query, caller }) {
      await store.transaction(caller.actor, (transaction) =>
        transaction.delete(
          joinTokenKind,
          params.id,
          query.version === undefined ? {} : { expectedVersion: query.version },
        ),
      )
      return undefined
    },
  }
}

/** Makes the one-time token that is put into the image of a build. Throws `already-exists` where the name is taken. */
export async function makeProvisioningToken(
  transaction: Transaction,
  input: { name: string; buildId: string; deviceLabels: Record<string, string>; expiresInSeconds: number; now: number },
): Promise<{ id: string; value: string }> {
  const { name, buildId, deviceLabels, expiresInSeconds, now } = input
  const token = makeToken('fhd_')
  const { id } = await transaction.create(joinTokenKind, {
    data: {
      name,
      purpose: 'provisioning',
      buildId,
      uses: 1,
      expiresAt: new Date(now + expiresInSeconds * 1000).toISOString(),
      deviceLabels,
      revoked: false,
      prefix: token.start,
      hash: token.hash,
    },
  })
  return { id, value: token.value }
}

/** Lets no device enrol with a token that none has used; of any other nothing changes. */
export async function revokeUnused(transaction: Transaction, id: string): Promise<void> {
  const token = await transaction.get(joinTokenKind, id)
  if (token === undefined || token.data.revoked || token.status.used > 0) return
  await transaction.update(joinTokenKind, id, { data: { ...token.data, revoked: true } })
}

/** Why no device could enrol with a token, as the end of a sentence; undefined where one can. */
export async function troubleOfJoinToken(reads: Reads, id: string, now: number): Promise<string | undefined> {
  const token = await reads.get(joinTokenKind, id)
  if (token === undefined) return 'was deleted'
  const verdict = verdictOf(token, now)
  return verdict === 'good' ? undefined : `is ${verdict}`
}

/** The device agent's environment, ready to copy. */
function configurationFor(options: { publicUrl: string; joinToken: string }): string {
  return `BASEOS_CLOUDLY_URL=${options.publicUrl}\nBASEOS_JOIN_TOKEN=${options.joinToken}\n`
}

/** What is known of a join token: the verdict, and the resource where it is a named one. */
export async function judgeJoinToken(
  reads: Reads,
  options: { joinToken: string | undefined; settings: RuntimeSettings; now: number },
): Promise<{ verdict: JoinTokenVerdict; resource: JoinToken | undefined }> {
  const { joinToken, settings, now } = options
  if (joinToken === undefined) return { verdict: 'missing', resource: undefined }
  const resource = await reads.find(joinTokenKind, 'hash', hashOf(joinToken))
  if (resource !== undefined) return { verdict: verdictOf(resource, now), resource }
  return { verdict: (await settings.isGenericJoinToken(reads, joinToken)) ? 'good' : 'unknown', resource: undefined }
}

function verdictOf({ data, status }: JoinToken, now: number): JoinTokenVerdict {
  if (data.revoked) return 'revoked'
  if (data.uses !== null && status.used >= data.uses) return 'used'
  return Date.parse(data.expiresAt) <= now ? 'expired' : 'good'
}

/** One device more has enrolled with it. */
export async function noteUse(transaction: Transaction, token: JoinToken, now: number): Promise<void> {
  const { status } = token
  await transaction.setStatus(joinTokenKind, token.id, {
    ...status,
    used: status.used + 1,
    lastUsedAt: new Date(now).toISOString(),
  })
}

/** Someone came with it and was refused; the log of changes keeps each of them. */
export async function noteRefusal(
  transaction: Transaction,
  token: JoinToken,
  refusal: { at: string; reason: string; nodeId: string; address: string },
): Promise<void> {
  const { status } = token
  await transaction.setStatus(joinTokenKind, token.id, {
    ...status,
    refusals: status.refusals + 1,
    lastRefusal: refusal,
  })
}

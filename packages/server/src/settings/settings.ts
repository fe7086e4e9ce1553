import { createHmac, timingSafeEqual } from 'node:crypto'
import { type Settings, settingsKind } from '@freehold/contracts'
import type { Actor, Reads, Store, Transaction } from '@freehold/store'
import type { Handlers } from '../http/handler.ts'
import type { Secret } from '../secrets/index.ts'

type Data = Settings['data']

/** What other nouns ask of the settings. */
export interface RuntimeSettings {
  handlers: Handlers<'settings'>
  /** Whether new devices wait until an operator approves them. */
  approval(reads: Reads): Promise<'automatic' | 'manual'>
  /** Whether this is the generic join token. */
  isGenericJoinToken(reads: Reads, joinToken: string): Promise<boolean>
}

const shownCharacters = 4

/** `key`: of the keyed hash; without it a store that was stolen tells nothing of a token that people chose. */
export function createRuntimeSettings(options: { store: Store; key: Secret<Buffer> }): RuntimeSettings {
  const { store, key } = options
  const hashOf = (value: string) => createHmac('sha256', key.reveal()).update(value).digest('base64url')

  const change = async (actor: Actor, next: (data: Data) => Data) =>
    masked(await store.transaction(actor, (transaction) => write(transaction, next)))

  return {
    handlers: {
      get: async () => masked((await read(store))?.data ?? {}),
      update: ({ body: { baseosJoinToken, baseosApproval }, caller }) =>
        change(caller.actor, (data) => ({
          ...data,
          ...(baseosApproval === undefined ? {} : { baseosApproval }),
          ...(baseosJoinToken === undefined
            ? {}
            : {
                baseosJoinToken: {
                  hash: hashOf(baseosJoinToken),
                  lastCharacters: baseosJoinToken.slice(-shownCharacters),
                },
              }),
        })),
      clear: ({ params, caller }) =>
        change(caller.actor, (data) => {
          const { [params.key]: _, ...others } = data
          return others
        }),
    },
    approval: async (reads) => (await read(reads))?.data.baseosApproval ?? 'automatic',
    async isGenericJoinToken(reads, joinToken) {
      const stored = (await read(reads))?.data.baseosJoinToken
      return stored !== undefined && timingSafeEqual(Buffer.from(hashOf(joinToken)), Buffer.from(stored.hash))
    },
  }
}

function read(reads: Reads): Promise<Settings | undefined> {
  return reads.find(settingsKind, 'one', 'one')
}

async function write(transaction: Transaction, next: (data: Data) => Data): Promise<Data> {
  const stored = await read(transaction)
  const data = next(stored?.data ?? {})
  const written =
    stored === undefined
      ? await transaction.create(settingsKind, { data })
      : await transaction.update(settingsKind, stored.id, { data })
  return written.data
}

function masked({ baseosJoinToken, baseosApproval }: Data) {
  return {
    baseosJoinToken: baseosJoinToken === undefined ? null : `••••${baseosJoinToken.lastCharacters}`,
    baseosApproval: baseosApproval ?? ('automatic' as const),
  }
}

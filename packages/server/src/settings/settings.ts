import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto'
import { type Settings, settingsKind } from '@freehold/contracts'
import type { Actor, Reads, Store, Transaction } from '@freehold/store'
import type { Handlers } from '../http/handler.ts'
import { createSealer, Secret } from '../secrets/index.ts'
import { type ConfiguredWorker, shownWorkers, withWorker, withWorkers, workersOf } from './build-workers.ts'

type Data = Settings['data']

/** What other nouns ask of the settings. */
export interface RuntimeSettings {
  handlers: Handlers<'settings'>
  /** Whether new devices wait until an operator approves them. */
  approval(reads: Reads): Promise<'automatic' | 'manual'>
  /** Whether this is the generic join token. */
  isGenericJoinToken(reads: Reads, joinToken: string): Promise<boolean>
  /** The build workers elsewhere, in the order they were given. */
  buildWorkers(reads: Reads): Promise<ConfiguredWorker[]>
}

const shownCharacters = 4

/**
 * `key`: of the keyed hash, and what encrypts is derived from it; without it a store that was stolen tells nothing of a
 * token that people chose.
 */
export function createRuntimeSettings(options: { store: Store; key: Secret<Buffer> }): RuntimeSettings {
  const { store, key } = options
  const hashOf = (value: string) => createHmac('sha256', key.reveal()).update(value).digest('base64url')
  const sealer = createSealer(new Secret(Buffer.from(hkdfSync('sha256', key.reveal(), '', 'sealed settings', 32))))

  const change = async (actor: Actor, next: (data: Data) => Data) =>
    masked(await store.transaction(actor, (transaction) => write(transaction, next)))

  return {
    handlers: {
      get: async () => masked((await read(store))?.data ?? {}),
      update: ({ body, caller }) =>
        change(caller.actor, (data) => {
          const { baseosJoinToken, baseosApproval, corebuildWorkersJson, corebuildWorkerUrl, corebuildWorkerToken } =
            body
          let next = data
          if (baseosApproval !== undefined) next = { ...next, baseosApproval }
          if (baseosJoinToken !== undefined) {
            const lastCharacters = baseosJoinToken.slice(-shownCharacters)
            next = { ...next, baseosJoinToken: { hash: hashOf(baseosJoinToken), lastCharacters } }
          }
          if (corebuildWorkersJson !== undefined) next = withWorkers(next, corebuildWorkersJson, sealer)
          if (corebuildWorkerUrl !== undefined || corebuildWorkerToken !== undefined) {
            next = withWorker(next, { url: corebuildWorkerUrl, token: corebuildWorkerToken }, sealer)
          }
          return next
        }),
      clear: ({ params, caller }) =>
        change(caller.actor, (data) => {
          // A token that is left behind would go to whatever address comes next.
          const token: readonly string[] = params.key === 'corebuildWorkerUrl' ? ['corebuildWorkerToken'] : []
          const gone = [params.key, ...token]
          return Object.fromEntries(Object.entries(data).filter(([name]) => !gone.includes(name))) as Data
        }),
    },
    approval: async (reads) => (await read(reads))?.data.baseosApproval ?? 'automatic',
    async isGenericJoinToken(reads, joinToken) {
      const stored = (await read(reads))?.data.baseosJoinToken
      return stored !== undefined && timingSafeEqual(Buffer.from(hashOf(joinToken)), Buffer.from(stored.hash))
    },
    buildWorkers: async (reads) => workersOf((await read(reads))?.data ?? {}, sealer),
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

function masked(data: Data) {
  const { baseosJoinToken, baseosApproval, corebuildWorkersJson, corebuildWorkerUrl, corebuildWorkerToken } = data
  return {
    baseosJoinToken: baseosJoinToken === undefined ? null : `••••${baseosJoinToken.lastCharacters}`,
    baseosApproval: baseosApproval ?? ('automatic' as const),
    corebuildWorkersJson: corebuildWorkersJson === undefined ? null : shownWorkers(corebuildWorkersJson),
    corebuildWorkerUrl: corebuildWorkerUrl ?? null,
    corebuildWorkerToken: corebuildWorkerToken?.shown ?? null,
  }
}

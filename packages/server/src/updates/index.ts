/**
 * The signed update channel: a repository of The Update Framework (1.0.34) that is kept in the store and served at
 * `/updates/`, and the signatures of what single devices are told. What a release is, and which device gets it, is
 * decided elsewhere.
 *
 * Invariants:
 * - What is in force after a commit is whole: timestamp, snapshot and targets fit each other and the newest root.
 * - Every root that was ever in force is served for ever, so that a device that slept for years still follows.
 * - Versions only rise, also after the store was restored from a backup (root excepted, which counts by one).
 * - A file is given out only while signed targets name it.
 * - Private keys that are here are sealed by the server's secret, and leave only as signatures.
 */
import type { IncomingMessage } from 'node:http'
import type { BlobStore } from '@freehold/blobs'
import {
  type Assignment,
  FreeholdError,
  type SignedAssignment,
  type UpdatesState,
  updateKeyKind,
} from '@freehold/contracts'
import { type Clock, createDriver, type Random } from '@freehold/reconcile'
import type { Actor, Store, Transaction } from '@freehold/store'
import type { Logger } from 'pino'
import type { Authenticate } from '../http/api.ts'
import { authorize } from '../http/authorize.ts'
import type { AllHandlers } from '../http/handler.ts'
import type { RawMount } from '../http/mounts.ts'
import type { Sealer } from '../secrets/index.ts'
import { createAssignmentSigner } from './assignments.ts'
import { newestOf } from './current.ts'
import { createDrafts } from './drafts.ts'
import { createKeyring } from './keys.ts'
import { lifeMs } from './metadata.ts'
import { createRepository, nextDueMs, type OnPublished } from './repository.ts'
import { createRoots } from './roots.ts'
import { createServe, type Reader } from './serve.ts'
import { readState } from './state.ts'
import { addFile, type ReleaseFile, removeFiles } from './target-files.ts'

export { readState as readUpdatesState } from './state.ts'
export type { ReleaseFile } from './target-files.ts'

export interface UpdatesNoun {
  handlers: Pick<AllHandlers, 'updates'>
  mount: RawMount
  /**
   * Makes the files of a release signed targets, at once where the keys of targets are here. Blobs must be stored
   * before. Throws `already-exists` where another release has the path, `invalid-input` for files that are not what
   * they say.
   */
  publish(transaction: Transaction, release: { releaseId: string; files: readonly ReleaseFile[] }): Promise<void>
  /** Takes the files of a release out of the signed targets; nobody gets them from now on. */
  withdraw(transaction: Transaction, releaseId: string): Promise<void>
  signAssignment(assignment: Assignment): Promise<SignedAssignment>
  /**
   * Makes keys and metadata at the first use. Later, unless the last process ended just now, signs anew: the store may
   * have been restored from a backup, and devices have seen newer versions than it knows of.
   */
  prepare(): Promise<void>
  /** Begins to keep the metadata signed. */
  start(): void
  stop(): Promise<void>
}

const actor: Actor = { type: 'system', id: 'updates', name: 'signed update channel' }
const periodMs = 60 * 60_000
/** Nobody puts a backup back so soon after the last signature in it; a process that crashes over and over signs no faster. */
const restartMs = 5_000

export function createUpdatesNoun(options: {
  store: Store
  blobs: Pick<BlobStore, 'send'>
  sealer: Sealer
  clock: Clock
  random: Random
  log: Logger
  /** The id of the device that is let in and has this node token; null: there is none. May throw `too-many-requests`. */
  authenticateDevice: (token: string, address: string) => Promise<string | null>
  /** The releases a device may have. */
  releasesOf: (deviceId: string) => Promise<ReadonlySet<string>>
  authenticate: Authenticate
  /** Releases that are signed from now on; runs in the transaction that signs them. */
  onPublished: OnPublished
}): UpdatesNoun {
  const { store, blobs, clock, random, log, onPublished } = options
  const now = () => clock.now()
  const keyring = createKeyring(options)
  const repository = createRepository({ keyring, now, onPublished })
  const roots = createRoots({ keyring, repository, now })
  const drafts = createDrafts({ keyring, repository, now })
  const settle = () => store.transaction(actor, (transaction) => repository.settle(transaction))
  const assignments = createAssignmentSigner({ store, keyring, now, ensure: () => settle() })
  const driver = createDriver({
    async run() {
      const inForce = await settle()
      await warnOfLostKeys()
      return { againInMs: Math.max(1000, nextDueMs(inForce) - now()) }
    },
    clock,
    random,
    periodMs,
    backoff: { minMs: 500, maxMs: 30_000 },
    onFailure: ({ error }) => log.warn({ err: error }, 'the update metadata could not be signed; it is tried again'),
  })

  async function warnOfLostKeys(): Promise<void> {
    const lost = (await store.all(updateKeyKind)).filter((row) => !keyring.isReadable(row))
    if (lost.length === 0) return
    const keys = lost.map(({ data: { role, keyid } }) => ({ role, keyid }))
    log.warn(
      { keys },
      'keys of the update channel were sealed with another server secret; docs/updates.md says what to do',
    )
  }

  async function change<T>(by: Actor, work: (transaction: Transaction) => Promise<T>): Promise<[UpdatesState, T]> {
    const result = await store.transaction(by, async (transaction) => {
      const answer = await work(transaction)
      return [await stateIn(transaction), answer] as [UpdatesState, T]
    })
    assignments.forget()
    return result
  }

  async function stateIn(transaction: Transaction): Promise<UpdatesState> {
    await repository.settle(transaction)
    const state = await readState(transaction, now())
    if (state === undefined) throw new Error('The update metadata are settled and are not there.')
    return state
  }

  async function admit(request: IncomingMessage, address: string): Promise<Reader> {
    const token = /^Bearer +(fhn_[A-Za-z0-9_-]{8,200})$/i.exec(request.headers.authorization ?? '')?.[1]
    if (token === undefined) {
      authorize((await options.authenticate(request)).caller, 'releases:read', { noun: 'updates' })
      return { mayRead: async () => true }
    }
    const deviceId = await options.authenticateDevice(token, address)
    if (deviceId === null) {
      throw new FreeholdError('unauthenticated', 'This node token is not good, or not any more. Register again.')
    }
    return { mayRead: async (releaseId) => (await options.releasesOf(deviceId)).has(releaseId) }
  }

  return {
    handlers: {
      updates: {
        get: async () => (await readState(store, now())) ?? store.transaction(actor, stateIn),
        root: async () => {
          const { root } = await settle()
          return { signed: { ...root.signed }, signatures: root.signatures }
        },
        publishRoot: async ({ body, caller }) => (await change(caller.actor, (t) => roots.publish(t, body)))[0],
        draftTargets: async () => {
          await settle()
          return drafts.make(store)
        },
        publishTargets: async ({ body, caller }) => (await change(caller.actor, (t) => drafts.publish(t, body)))[0],
        rotateKey: async ({ params, caller }) => {
          const [state, rotated] = await change(caller.actor, (t) => roots.rotate(t, params.role))
          return { state, ...rotated }
        },
        dropRootKey: async ({ caller }) => (await change(caller.actor, (t) => roots.dropRootKey(t)))[0],
      },
    },
    mount: createServe({ store, blobs, admit }),
    async publish(transaction, { releaseId, files }) {
      for (const file of files) await addFile(transaction, releaseId, file)
      await repository.settle(transaction)
    },
    async withdraw(transaction, releaseId) {
      await removeFiles(transaction, releaseId)
      await repository.settle(transaction)
    },
    signAssignment: (assignment) => assignments.sign(assignment),
    async prepare() {
      const timestamp = await newestOf(store, 'timestamp')
      const signedAtMs = timestamp === undefined ? 0 : Date.parse(timestamp.signed.expires) - lifeMs.timestamp
      const isAfresh = timestamp !== undefined && Math.abs(now() - signedAtMs) > restartMs
      await store.transaction(actor, (transaction) => repository.settle(transaction, { isAfresh }))
    },
    start: () => driver.start(),
    stop: () => driver.stop(),
  }
}

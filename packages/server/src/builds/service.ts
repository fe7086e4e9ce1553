import { randomUUIDv7 } from 'node:crypto'
import {
  type Build,
  baseImageKind,
  buildDefaults,
  buildDownloadPath,
  buildKind,
  FreeholdError,
  joinTokenKind,
} from '@freehold/contracts'
import type { Actor, Store, Transaction } from '@freehold/store'
import { makeProvisioningToken, revokeUnused } from '../devices/index.ts'
import type { AllHandlers, Handlers } from '../http/handler.ts'
import { getResource, listResources, present } from '../http/resources.ts'
import type { Sealer } from '../secrets/index.ts'
import type { ImageBytes } from './bytes.ts'
import type { Dispatcher } from './dispatcher.ts'
import { bytesGone } from './downloads.ts'
import { type BuildInput, cancelled, checkBuild, isOpen, shortId, withoutImage } from './kind.ts'
import type { BuildLogs } from './logs.ts'
import { sealSecrets } from './secrets.ts'
import type { UrlSigner } from './signed-url.ts'
import { moveBuild, moveIn } from './transition.ts'
import type { Workers } from './workers.ts'

const gone = 'The image was not there any more when it was asked for. Build it again.'

/** Handlers of builds and of their workers. */
export function createBuildHandlers(options: {
  store: Store
  sealer: Sealer
  signer: UrlSigner
  bytes: ImageBytes
  logs: BuildLogs
  workers: Workers
  dispatcher: Pick<Dispatcher, 'wake' | 'end' | 'oursOn' | 'attemptOf'>
  publicUrl: () => string
  now: () => number
}): Pick<AllHandlers, 'builds' | 'buildWorkers'> {
  const { store, sealer, signer, bytes, logs, workers, dispatcher, publicUrl, now } = options

  async function create(
    transaction: Transaction,
    { data, labels, by }: { data: BuildInput; labels: Record<string, string> | undefined; by: Actor },
  ) {
    const base = data.baseImageId === null ? undefined : await transaction.get(baseImageKind, data.baseImageId)
    checkBuild(data, base)
    const id = await freeId(transaction)
    const { wifi, tokenExpiresInSeconds, ...kept } = data
    const token = await makeProvisioningToken(transaction, {
      name: tokenNameOf(id),
      buildId: id,
      deviceLabels: data.deviceLabels,
      expiresInSeconds: tokenExpiresInSeconds,
      now: now(),
    })
    const secrets = { joinToken: token.value, wifiPassphrase: wifi?.passphrase ?? null }
    return transaction.create(buildKind, {
      id,
      data: {
        ...kept,
        ubuntuVersion: data.ubuntuVersion ?? buildDefaults.ubuntuVersion,
        sshUser: data.sshUser ?? buildDefaults.sshUser,
        compression: data.compression ?? buildDefaults.compression,
        wifi: wifi === null ? null : { ssid: wifi.ssid, isOpen: wifi.passphrase === null, hidden: wifi.hidden },
        joinTokenId: token.id,
        requestedBy: by.name,
        sealed: sealSecrets(sealer, id, secrets),
      },
      ...(labels === undefined ? {} : { labels }),
    })
  }

  async function download(build: Build, { actor, expiresInSeconds }: { actor: Actor; expiresInSeconds: number }) {
    const { artifact, state } = build.status
    if (artifact === null) {
      throw new FreeholdError('conflict', `The build is ${state}: there is no image. ${build.status.message}`)
    }
    const { location, filename, sizeBytes, sha256 } = artifact
    if (location === null) throw new FreeholdError('conflict', `The image is kept no longer. ${build.status.message}`)
    const bucket = bytes.elsewhere(location)
    if (bucket !== undefined) {
      throw new FreeholdError(
        'conflict',
        `The image is in the bucket "${bucket}", which is not the configured one. Configure that one again, or build another image.`,
      )
    }
    if ((await bytes.sizeOf(location)) !== sizeBytes) {
      await moveBuild(store, { id: build.id, rule: (status) => withoutImage(status, gone) })
      throw bytesGone()
    }
    const lastDownload = { at: new Date(now()).toISOString(), by: actor.name }
    await moveBuild(store, {
      id: build.id,
      actor,
      rule: (status) =>
        status.artifact === null ? undefined : { ...status, artifact: { ...status.artifact, lastDownload } },
    })
    const expiresAtMs = now() + expiresInSeconds * 1000
    const url = `${publicUrl()}${signer.sign(buildDownloadPath(build.id), expiresAtMs)}`
    return { url, expiresAt: new Date(expiresAtMs).toISOString(), filename, sizeBytes, sha256 }
  }

  const builds: Handlers<'builds'> = {
    list: ({ query }) => listResources(store, buildKind, query),
    get: async ({ params }) => present(buildKind, await getResource(store, buildKind, params.id)),
    async create({ body: { data, labels }, caller }) {
      const by = caller.actor
      const build = await store.transaction(by, (transaction) => create(transaction, { data, labels, by }))
      dispatcher.wake()
      return present(buildKind, build)
    },
    async cancel({ params, caller }) {
      const at = new Date(now()).toISOString()
      const build = await store.transaction(caller.actor, async (transaction) => {
        const { status } = await getResource(transaction, buildKind, params.id)
        const moved = await moveIn(transaction, params.id, (before) => cancelled(before, { at }))
        if (moved !== undefined) return moved
        throw new FreeholdError('conflict', `The build has ended already: it is ${status.state}.`)
      })
      dispatcher.end(params.id)
      return present(buildKind, build)
    },
    async log({ params, query, signal }) {
      await getResource(store, buildKind, params.id)
      const hasEnded = async () => {
        const build = await store.get(buildKind, params.id)
        return (build === undefined || !isOpen(build.status)) && dispatcher.attemptOf(params.id) === undefined
      }
      return query.follow ? logs.follow(params.id, { hasEnded, signal }) : each(await logs.read(params.id))
    },
    download: async ({ params, body, caller }) =>
      download(await getResource(store, buildKind, params.id), { actor: caller.actor, ...body }),
    async delete({ params, query, caller }) {
      const expected = query.version === undefined ? {} : { expectedVersion: query.version }
      const location = await store.transaction(caller.actor, async (transaction) => {
        const build = await getResource(transaction, buildKind, params.id)
        if (isOpen(build.status)) throw new FreeholdError('conflict', 'The build has not ended. Cancel it first.')
        await transaction.delete(buildKind, params.id, expected)
        await revokeUnused(transaction, build.data.joinTokenId)
        return build.status.artifact?.location ?? null
      })
      // What cannot be removed now is garbage, and found as such.
      if (location !== null) await bytes.remove(location).catch(() => undefined)
      return undefined
    },
  }
  return {
    builds,
    buildWorkers: { list: async ({ signal }) => ({ items: await workers.list(dispatcher.oursOn, signal) }) },
  }
}

const tokenNameOf = (buildId: string): string => `build-${shortId(buildId)}`

/** Names of tokens hold a part of the id, and must be free. */
async function freeId(transaction: Transaction): Promise<string> {
  for (;;) {
    const id = randomUUIDv7()
    if ((await transaction.find(joinTokenKind, 'name', tokenNameOf(id))) === undefined) return id
  }
}

async function* each<T>(values: readonly T[]): AsyncGenerator<T> {
  yield* values
}

import { type BaseImage, baseImageKind, buildKind, FreeholdError } from '@freehold/contracts'
import type { Actor, Reads, Store } from '@freehold/store'
import type { Handlers } from '../http/handler.ts'
import { getResource, listResources } from '../http/resources.ts'
import type { ImageBytes } from './bytes.ts'
import type { Served } from './downloads.ts'
import { bytesGone } from './downloads.ts'
import { imageBytesAtMost } from './receiving.ts'
import type { Uploads, UploadTarget } from './uploads.ts'

const fact = 'upload'
/** Targets in memory; those that are not used are read anew. */
const targetsAtMost = 1000

/** Base images: their handlers, their uploads, and what workers fetch. */
export function createBaseImages(options: { store: Store; uploads: Uploads; bytes: ImageBytes; wake: () => void }) {
  const { store, uploads, bytes, wake } = options
  const targets = new Map<string, Promise<UploadTarget & { actor: Actor }>>()

  async function makeTarget({ id, data, status }: BaseImage, actor: Actor): Promise<UploadTarget & { actor: Actor }> {
    const kept = (await store.facts.get(baseImageKind, id))[fact]
    const target: UploadTarget & { actor: Actor } = {
      actor,
      uploadId: typeof kept === 'string' ? kept : null,
      done: status.blob,
      sha256: data.sha256,
      limitBytes: imageBytesAtMost,
      // An upload goes on after a restart, so it must be known where it is.
      async onChange() {
        store.facts.set(baseImageKind, id, fact, target.uploadId)
        await store.facts.flush()
      },
      async onComplete(sha256, finish) {
        const digest = `sha256:${sha256}`
        await bytes.guard.hold(digest, async () => {
          const { sizeBytes } = await finish()
          try {
            await keep(id, { digest, sizeBytes, actor: target.actor })
          } catch (error) {
            target.done = null
            throw error
          }
        })
        wake()
      },
    }
    return target
  }

  async function keep(id: string, { digest, sizeBytes, actor }: { digest: string; sizeBytes: number; actor: Actor }) {
    await store.transaction(actor, async (transaction) => {
      await getResource(transaction, baseImageKind, id)
      const blob = { digest, sizeBytes }
      await transaction.setStatus(baseImageKind, id, { state: 'ready', message: 'Its bytes are kept here.', blob })
    })
  }

  const handlers: Handlers<'baseImages'> = {
    list: ({ query }) => listResources(store, baseImageKind, query),
    get: ({ params }) => getResource(store, baseImageKind, params.id),
    create: ({ body: { data, labels }, caller }) =>
      store.transaction(caller.actor, (transaction) =>
        transaction.create(baseImageKind, {
          data,
          ...(data.url === null
            ? {}
            : { status: { state: 'ready' as const, message: 'Workers fetch it from its address.', blob: null } }),
          ...(labels === undefined ? {} : { labels }),
        }),
      ),
    update: ({ params, body: { data: patch, labels, version }, caller }) =>
      store.transaction(caller.actor, async (transaction) => {
        const { data } = await getResource(transaction, baseImageKind, params.id)
        const { name = data.name, description = data.description } = patch ?? {}
        return transaction.update(baseImageKind, params.id, {
          data: { ...data, name: name ?? data.name, description: description ?? '' },
          ...(labels === undefined ? {} : { labels }),
          ...(version === undefined ? {} : { expectedVersion: version }),
        })
      }),
    async delete({ params, query, caller }) {
      const { id } = params
      const before = await store.transaction(caller.actor, async (transaction) => {
        const base = await getResource(transaction, baseImageKind, id)
        await refuseInUse(transaction, base)
        await transaction.delete(
          baseImageKind,
          id,
          query.version === undefined ? {} : { expectedVersion: query.version },
        )
        return base
      })
      const target = await (targets.get(id) ?? makeTarget(before, caller.actor))
      targets.delete(id)
      // What cannot be removed now is garbage, and found as such.
      await uploads.drop(target).catch(() => undefined)
      const { blob } = before.status
      if (blob !== null) await bytes.remove({ store: 'blobs', digest: blob.digest }).catch(() => undefined)
      return undefined
    },
  }

  return {
    handlers,
    /** Where the bytes of a base image go. Throws `not-found`, `conflict`. */
    async target(id: string, actor: Actor): Promise<UploadTarget> {
      const base = await getResource(store, baseImageKind, id)
      if (base.data.url !== null) {
        throw new FreeholdError('conflict', 'Workers fetch this base image from its address; nothing is uploaded.')
      }
      if (targets.size >= targetsAtMost && !targets.has(id)) targets.clear()
      const making = targets.get(id) ?? makeTarget(base, actor)
      targets.set(id, making)
      try {
        const target = await making
        target.actor = actor
        return target
      } catch (error) {
        targets.delete(id)
        throw error
      }
    },
    /** What a worker fetches. Throws `not-found`. */
    async file(id: string): Promise<Served> {
      const { data, status } = await getResource(store, baseImageKind, id)
      if (status.blob === null) throw bytesGone()
      const { digest, sizeBytes } = status.blob
      return {
        location: { store: 'blobs', digest },
        sha256: digest.slice('sha256:'.length),
        sizeBytes,
        filename: `${data.name}.img`,
        contentType: 'application/octet-stream',
        mayRedirect: false,
      }
    },
  }
}

/** Throws `conflict` while a build that has not ended needs it. */
async function refuseInUse(reads: Reads, { id, data }: BaseImage): Promise<void> {
  const { items } = await reads.list(buildKind, { where: { baseImageId: id, open: 'yes' }, limit: 1 })
  const [build] = items
  if (build === undefined) return
  throw new FreeholdError(
    'conflict',
    `The build ${build.id} needs the base image "${data.name}". Cancel it first, or wait.`,
  )
}

import { type BlobStore, isDigestAlgorithm } from '@freehold/blobs'
import { blobLinkKind } from '@freehold/contracts'
import type { Store } from '@freehold/store'
import type { DigestGuard } from './digest-guard.ts'
import { parseDigestText, parseRepository } from './endpoint.ts'
import { RegistryError } from './errors.ts'
import { type Exchange, hasBody, sendEmpty, whileReceiving } from './exchange.ts'
import type { Quota } from './quota.ts'
import { parseChunkRange, uploadRange } from './ranges.ts'
import { linkBlob, mountBlob } from './repository.ts'
import type { UploadSessions } from './upload-session.ts'

/** Nobody but the blob store sees the chunks of a request's body. */
const ofRequest = { disposable: true }
/** Repositories looked at for a mount that names no source. */
const mountCandidates = 20

/** Pushing blobs: whole, in chunks, or by mounting (OCI Distribution 1.1, end-4, -5, -6, -11, -13, -14). */
export function createUploadRoutes(options: {
  store: Store
  blobs: BlobStore
  sessions: UploadSessions
  guard: DigestGuard
  quota: Quota
  idleTimeoutMs: number
}) {
  const { store, blobs, sessions, guard, quota, idleTimeoutMs } = options
  const { limits } = quota

  const uploadHeaders = (repository: string, id: string, sizeBytes: number) => ({
    location: `/v2/${repository}/blobs/uploads/${sessions.seal(repository, id)}`,
    range: uploadRange(sizeBytes),
    'docker-upload-uuid': id,
  })
  const sendCreated = (exchange: Exchange, repository: string, digest: string) =>
    sendEmpty(exchange, 201, { location: `/v2/${repository}/blobs/${digest}`, 'docker-content-digest': digest })

  async function start(exchange: Exchange, repository: string): Promise<void> {
    const { query } = exchange
    const mount = query.get('mount')
    if (mount !== null && (await tryMount(exchange, repository, parseDigestText(mount)))) {
      sendCreated(exchange, repository, mount)
      return
    }
    const digest = mount === null ? query.get('digest') : null
    if (digest !== null) return receiveWhole(exchange, repository, parseDigestText(digest))
    const algorithm = query.get('digest-algorithm') ?? 'sha256'
    if (!isDigestAlgorithm(algorithm)) {
      throw new RegistryError('digest-invalid', 'Digests are made with sha256 or sha512 here.')
    }
    const id = await blobs.createUpload({ algorithm })
    sendEmpty(exchange, 202, uploadHeaders(repository, id, 0))
  }

  async function receiveWhole(exchange: Exchange, repository: string, digest: string): Promise<void> {
    const { request, visitor } = exchange
    await quota.receive({ repository, digest, heldBytes: 0, request }, (source) =>
      guard.hold(digest, async () => {
        const { sizeBytes } = await whileReceiving(request, idleTimeoutMs, () => blobs.put(digest, source, ofRequest))
        await linkBlob(store, visitor.actor, { repository, digest, sizeBytes, limits })
      }),
    )
    sendCreated(exchange, repository, digest)
  }

  /** False where there is nothing to mount that the caller may pull; the client then uploads it. */
  async function tryMount({ query, visitor }: Exchange, repository: string, digest: string): Promise<boolean> {
    const named = query.get('from')
    const sources = named === null ? await holdersOf(digest) : [parseRepository(named)]
    const found = await blobs.stat(digest)
    if (found === undefined) return false
    for (const from of sources) {
      if (!(await visitor.may('pull', from))) continue
      if (await mountBlob(store, visitor.actor, { repository, digest, from, ...found, limits })) return true
    }
    return false
  }

  async function holdersOf(digest: string): Promise<string[]> {
    const { items } = await store.list(blobLinkKind, { where: { digest }, limit: mountCandidates })
    return items.map((link) => link.data.repository)
  }

  async function append(exchange: Exchange, { repository, session }: Target): Promise<void> {
    const id = sessions.unseal(repository, session)
    const sizeBytes = await receiveChunk(exchange, { repository, id, digest: null })
    sendEmpty(exchange, 202, uploadHeaders(repository, id, sizeBytes))
  }

  async function finish(exchange: Exchange, { repository, session }: Target): Promise<void> {
    const { query, request, visitor } = exchange
    const id = sessions.unseal(repository, session)
    const digest = parseDigestText(query.get('digest') ?? '')
    if (hasBody(request)) await receiveChunk(exchange, { repository, id, digest })
    const sizeBytes = async () => (await blobs.uploadStatus(id)).sizeBytes
    await quota.reserve({ repository, digest, sizeBytes, onRefusal: () => blobs.cancelUpload(id) }, () =>
      guard.hold(digest, async () => {
        const stored = await blobs.finishUpload(id, digest)
        await linkBlob(store, visitor.actor, { repository, digest, sizeBytes: stored.sizeBytes, limits })
      }),
    )
    sendCreated(exchange, repository, digest)
  }

  /** Without a Content-Range the chunk goes where the upload stands. Answers the size after it. */
  async function receiveChunk(
    { request }: Exchange,
    { repository, id, digest }: { repository: string; id: string; digest: string | null },
  ): Promise<number> {
    const current = (await blobs.uploadStatus(id)).sizeBytes
    const expected = expectedRange(request.headers)
    if (expected !== undefined && expected.start !== current) {
      throw new RegistryError(
        'upload-out-of-order',
        `The upload holds ${current} bytes; the next chunk starts there.`,
        {
          headers: uploadHeaders(repository, id, current),
        },
      )
    }
    const { sizeBytes } = await quota.receive(
      { repository, digest, heldBytes: current, request, onRefusal: () => blobs.cancelUpload(id) },
      (source) => whileReceiving(request, idleTimeoutMs, () => blobs.appendUpload(id, current, source, ofRequest)),
    )
    if (expected !== undefined && sizeBytes !== expected.end + 1) {
      throw new RegistryError('size-invalid', 'The chunk has another length than its Content-Range says.', {
        headers: uploadHeaders(repository, id, sizeBytes),
      })
    }
    return sizeBytes
  }

  async function status(exchange: Exchange, { repository, session }: Target): Promise<void> {
    const id = sessions.unseal(repository, session)
    const { sizeBytes } = await blobs.uploadStatus(id)
    sendEmpty(exchange, 204, uploadHeaders(repository, id, sizeBytes))
  }

  async function cancel(exchange: Exchange, { repository, session }: Target): Promise<void> {
    await blobs.cancelUpload(sessions.unseal(repository, session))
    sendEmpty(exchange, 204, {})
  }

  return { start, append, finish, status, cancel }
}

interface Target {
  repository: string
  session: string
}

/** The chunk's range as its headers say. Throws `upload-out-of-order` (no range at all), `size-invalid`. */
function expectedRange(headers: Exchange['request']['headers']): { start: number; end: number } | undefined {
  const header = headers['content-range']
  if (header === undefined) return undefined
  const range = parseChunkRange(header)
  if (range === undefined) {
    throw new RegistryError('upload-out-of-order', 'Content-Range is <first byte>-<last byte> of the chunk.')
  }
  const lengthBytes = headers['content-length']
  if (lengthBytes !== undefined && Number(lengthBytes) !== range.end - range.start + 1) {
    throw new RegistryError('size-invalid', 'Content-Length is not the length that Content-Range says.')
  }
  return range
}

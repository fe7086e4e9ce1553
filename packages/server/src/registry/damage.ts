import { createHash } from 'node:crypto'
import { BlobError, type BlobStore, parseDigest } from '@freehold/blobs'
import {
  baseImageKind,
  blobLinkKind,
  buildKind,
  type DamagedBlob,
  damagedBlobKind,
  manifestKind,
  tagKind,
} from '@freehold/contracts'
import { type Actor, pagesOf, type Reads, type Store, type Transaction } from '@freehold/store'
import { describeDamage, type Finding, findingOf, type Reading, tellsOfBrokenBytes } from './damage-rules.ts'
import { referenceTo } from './repository.ts'

/** How many repositories and images a record names, and how many pages of manifests are read to find them. */
const namedAtMost = 20
const manifestPages = 20
const suspectsAtMost = 1000

const actor: Actor = { type: 'system', id: 'registry-scrub', name: 'registry scrub' }

/** What a look at a blob came to. `unnamed`: no repository knows it, so nothing is written down. */
export type Verdict = 'sound' | 'damaged' | 'unnamed'

/** Waits as long as reading so many bytes may take. */
export type Pace = (sizeBytes: number, signal: AbortSignal) => Promise<void>

/**
 * What is known of damaged bytes. Invariants:
 *
 * - Only a look at all the bytes makes a record; an answer that came out wrong makes a suspect at most.
 * - A record is there before `examine` says `damaged`, and gone before a push that brought the bytes again is answered.
 * - A record never outlives a healing push: after writing it the bytes are read once more, and a push that replaced
 *   them before the record was there is seen by that; one that comes later clears the record itself.
 */
export interface Damage {
  find(digest: string): Promise<DamagedBlob | undefined>
  /** For bytes that came out wrong: they are looked at soon. */
  suspect(digest: string): void
  /** The suspects until now; they are forgotten. */
  takeSuspects(): string[]
  /** Reads all bytes, makes or clears the record. Rejects where they cannot be judged, such as with storage away. */
  examine(
    digest: string,
    options: { pace: Pace; signal: AbortSignal },
  ): Promise<{ verdict: Verdict; readBytes: number }>
  /** After the bytes were stored anew. */
  healed(digest: string): Promise<void>
}

export function createDamage(options: {
  store: Store
  blobs: BlobStore
  log: { info(fields: object, message: string): void; error(fields: object, message: string): void }
  now: () => number
  /** There is a new suspect. */
  onSuspect: () => void
}): Damage {
  const { store, blobs, log } = options
  const suspects = new Set<string>()

  const find = (digest: string) => findDamaged(store, digest)

  async function examine(digest: string, { pace, signal }: { pace: Pace; signal: AbortSignal }) {
    const look = () => readBlob(blobs, digest, { pace, signal })
    const reading = await look()
    const readBytes = reading.kind === 'read' ? reading.sizeBytes : 0
    const finding = findingOf(digest, reading, await sizesOf(store, digest))
    if (finding === undefined) {
      await forget(digest, 'the bytes of a blob are whole again')
      return { verdict: 'sound' as const, readBytes }
    }
    const recorded = await record(digest, finding)
    if (recorded === undefined) return { verdict: 'unnamed' as const, readBytes }
    if (findingOf(digest, await look(), []) === undefined) {
      await forget(digest, 'the bytes of a blob were pushed again while they were looked at')
      return { verdict: 'sound' as const, readBytes }
    }
    // Bytes that were removed after their last name, while they were looked at, are no damage either.
    if ((await repositoriesOf(store, digest)).length === 0) {
      await forget(digest, 'a damaged blob is not needed any more')
      return { verdict: 'unnamed' as const, readBytes }
    }
    if (recorded.isNew) log.error(recorded.data, describeDamage(recorded.data))
    return { verdict: 'damaged' as const, readBytes }
  }

  /** Undefined where nothing names the digest: then there is no record either. */
  async function record(
    digest: string,
    finding: Finding,
  ): Promise<{ data: DamagedBlob['data']; isNew: boolean } | undefined> {
    const repositories = await repositoriesOf(store, digest)
    const others = (await namesElsewhere(store, digest)).map(({ data }) => data.repository)
    const images = [...(await imagesOf(store, digest, repositories)), ...others]
    const data = { digest, ...finding, foundAt: new Date(options.now()).toISOString(), repositories, images }
    return store.transaction(actor, async (transaction) => {
      const known = await findDamaged(transaction, digest)
      if ((await repositoriesOf(transaction, digest)).length === 0) {
        if (known !== undefined) await transaction.delete(damagedBlobKind, known.id)
        return undefined
      }
      if (known === undefined) await transaction.create(damagedBlobKind, { data })
      else {
        await transaction.update(damagedBlobKind, known.id, { data: { ...data, foundAt: known.data.foundAt } })
      }
      return { data, isNew: known === undefined }
    })
  }

  async function forget(digest: string, message: string): Promise<void> {
    if ((await find(digest)) === undefined) return
    const gone = await store.transaction(actor, async (transaction) => {
      const known = await findDamaged(transaction, digest)
      if (known !== undefined) await transaction.delete(damagedBlobKind, known.id)
      return known !== undefined
    })
    if (gone) log.info({ digest }, message)
  }

  return {
    find,
    examine,
    healed: (digest) => forget(digest, 'a damaged blob was pushed again'),
    suspect(digest) {
      if (suspects.size >= suspectsAtMost || suspects.has(digest)) return
      suspects.add(digest)
      options.onSuspect()
    },
    takeSuspects() {
      const taken = [...suspects]
      suspects.clear()
      return taken
    },
  }
}

const findDamaged = (reads: Reads, digest: string): Promise<DamagedBlob | undefined> =>
  reads.find(damagedBlobKind, 'digest', digest)

/** Which of these are known to be damaged; where nothing is, which is usual, one read says so. */
export async function damagedAmong(transaction: Transaction, digests: readonly string[]): Promise<Set<string>> {
  const { items } = await transaction.list(damagedBlobKind, { limit: 1 })
  const damaged = new Set<string>()
  if (items.length === 0) return damaged
  for (const digest of digests) if ((await findDamaged(transaction, digest)) !== undefined) damaged.add(digest)
  return damaged
}

async function readBlob(
  blobs: BlobStore,
  digest: string,
  { pace, signal }: { pace: Pace; signal: AbortSignal },
): Promise<Reading> {
  const algorithm = parseDigest(digest)?.algorithm ?? 'sha256'
  const hash = createHash(algorithm)
  let sizeBytes = 0
  try {
    for await (const chunk of (await blobs.open(digest)) as AsyncIterable<Buffer>) {
      hash.update(chunk)
      sizeBytes += chunk.length
      await pace(chunk.length, signal)
    }
  } catch (error) {
    if (error instanceof BlobError && error.code === 'blob-unknown') return { kind: 'missing' }
    if (tellsOfBrokenBytes(error)) return { kind: 'unreadable' }
    throw error
  }
  return { kind: 'read', sizeBytes, digest: `${algorithm}:${hash.digest('hex')}` }
}

async function namesOf(reads: Reads, digest: string): Promise<{ data: { repository: string; size: number } }[]> {
  const page = { where: { digest }, limit: namedAtMost }
  const [links, manifests] = [await reads.list(blobLinkKind, page), await reads.list(manifestKind, page)]
  return [...links.items, ...manifests.items, ...(await namesElsewhere(reads, digest))]
}

/** Images of builds and base images, which are in no repository. */
async function namesElsewhere(reads: Reads, digest: string): Promise<{ data: { repository: string; size: number } }[]> {
  const page = { where: { blob: digest }, limit: namedAtMost }
  const builds = (await reads.list(buildKind, page)).items
  const bases = (await reads.list(baseImageKind, page)).items
  return [
    ...builds.map(({ id, status }) => ({ repository: `build ${id}`, size: status.artifact?.sizeBytes ?? 0 })),
    ...bases.map(({ data, status }) => ({ repository: `base-image ${data.name}`, size: status.blob?.sizeBytes ?? 0 })),
  ].map((data) => ({ data }))
}

async function sizesOf(reads: Reads, digest: string): Promise<number[]> {
  return (await namesOf(reads, digest)).map(({ data }) => data.size)
}

async function repositoriesOf(reads: Reads, digest: string): Promise<string[]> {
  const names = (await namesOf(reads, digest)).map(({ data }) => data.repository)
  return [...new Set(names)].slice(0, namedAtMost)
}

/** Images that need the bytes, by tag or, untagged, by digest. */
async function imagesOf(reads: Reads, digest: string, repositories: readonly string[]): Promise<string[]> {
  const images: string[] = []
  let pages = 0
  for (const repository of repositories) {
    if (pages >= manifestPages || images.length >= namedAtMost) break
    for await (const page of pagesOf(reads, manifestKind, { where: { repository } })) {
      for (const { data } of page) {
        const needs = data.digest === digest || data.blobs.some((blob) => blob.digest === digest)
        if (!needs && !data.manifests.includes(digest)) continue
        const where = { manifest: referenceTo(repository, data.digest) }
        const tags = (await reads.list(tagKind, { where, limit: namedAtMost })).items
        images.push(...tags.map((tag) => `${repository}:${tag.data.name}`))
        if (tags.length === 0) images.push(`${repository}@${data.digest}`)
      }
      pages += 1
      if (pages >= manifestPages || images.length >= namedAtMost) break
    }
  }
  // People push tags, so those come first.
  return images.toSorted((one, other) => Number(one.includes('@')) - Number(other.includes('@'))).slice(0, namedAtMost)
}

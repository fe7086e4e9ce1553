import type { DigestAlgorithm } from '../digest.ts'
import type { UploadId } from '../upload-id.ts'
import type { Connection, FoundObject } from './connection.ts'
import { isGoneMultipart } from './errors.ts'
import { type Keys, parseUploadKey, type UploadKeys } from './layout.ts'
import { abortMultipart, listParts, type Multipart, type Part } from './multipart.ts'

/** An upload as the bucket has it. */
export interface Session {
  id: UploadId
  keys: UploadKeys
  algorithm: DigestAlgorithm
  multipart: Multipart | undefined
  /** Full parts, from number 1 on without a gap. */
  parts: readonly Part[]
  /** Numbers of parts after a gap: nothing of the upload, and not to become so when the gap is filled. */
  strayParts: readonly number[]
  /** The bytes after the parts. */
  tail: (FoundObject & { key: string }) | undefined
  /** Everything, where finishing was begun and not ended. */
  data: (FoundObject & { key: string }) | undefined
  sizeBytes: number
  modifiedAtMs: number
  /** Of all its objects. */
  objects: readonly string[]
}

/** Undefined where there is no such upload. */
export async function findSession(
  connection: Connection,
  { keys, id, partBytes }: { keys: Keys; id: UploadId; partBytes: number },
): Promise<Session | undefined> {
  const ofUpload = keys.upload(id)
  const objects: string[] = []
  const tails = new Map<number, FoundObject & { key: string }>()
  let algorithm: DigestAlgorithm | undefined
  let multipart: Multipart | undefined
  let data: Session['data']
  let modifiedAtMs = 0
  for await (const found of connection.list(ofUpload.folder)) {
    objects.push(found.key)
    modifiedAtMs = Math.max(modifiedAtMs, found.modifiedAtMs)
    const key = parseUploadKey(found.key.slice(ofUpload.folder.length))
    if (key?.kind === 'begun') algorithm = key.algorithm
    if (key?.kind === 'parts') multipart = { key: ofUpload.data, id: key.multipartId }
    if (key?.kind === 'tail') tails.set(key.parts, found)
    if (key?.kind === 'data') data = found
  }
  if (algorithm === undefined) return undefined
  const listed = multipart === undefined || data !== undefined ? [] : await partsOf(connection, multipart)
  if (listed === 'gone') return undefined
  const parts = withoutGap(listed, partBytes)
  const tail = data === undefined ? tails.get(parts.length) : undefined
  return {
    id,
    keys: ofUpload,
    algorithm,
    multipart,
    parts,
    strayParts: listed.slice(parts.length).map((part) => part.number),
    tail,
    data,
    sizeBytes: data?.sizeBytes ?? parts.length * partBytes + (tail?.sizeBytes ?? 0),
    modifiedAtMs: Math.max(modifiedAtMs, ...listed.map((part) => part.modifiedAtMs)),
    objects,
  }
}

/** The first parts that are there without a gap and full: several are sent at once, and a crash may lose one of them. */
export function withoutGap(parts: readonly Part[], partBytes: number): Part[] {
  const first = parts.findIndex((part, index) => part.number !== index + 1 || part.sizeBytes !== partBytes)
  return first < 0 ? [...parts] : parts.slice(0, first)
}

/** An upload whose multipart upload is gone lost its bytes to somebody else's clean-up. */
async function partsOf(connection: Connection, multipart: Multipart): Promise<Part[] | 'gone'> {
  try {
    return await listParts(connection, multipart)
  } catch (error) {
    if (isGoneMultipart(error)) return 'gone'
    throw error
  }
}

/** Takes an upload out of the bucket; what says that there is one goes first. */
export async function removeSession(connection: Connection, session: Session): Promise<void> {
  const begun = session.keys.begun(session.algorithm)
  await connection.remove(begun)
  if (session.multipart !== undefined && session.data === undefined) await abortMultipart(connection, session.multipart)
  await Promise.all(session.objects.filter((key) => key !== begun).map((key) => connection.remove(key)))
}

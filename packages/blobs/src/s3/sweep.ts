import type { UploadId } from '../upload-id.ts'
import type { Connection } from './connection.ts'
import { isGoneMultipart } from './errors.ts'
import type { Keys } from './layout.ts'
import { abortMultipart, listMultiparts, listParts, type Multipart } from './multipart.ts'
import type { Uploads } from './uploads.ts'

interface Swept {
  removed: number
  sizeBytes: number
}

/**
 * Takes away uploads nobody has added to for `idleMs`, what is left of others, and multipart uploads that belong to
 * none: a process that died in the middle of a push leaves those. What another control plane adds to is not idle.
 */
export async function sweep(options: {
  connection: Connection
  keys: Keys
  uploads: Uploads
  /** Multipart uploads under way in this process. */
  running: ReadonlySet<string>
  idleMs: number
}): Promise<Swept> {
  const swept = { removed: 0, sizeBytes: 0 }
  for await (const group of groupsOf(options.connection, options.keys)) {
    if (Date.now() - group.modifiedAtMs < options.idleMs || options.uploads.isBusy(group.id)) continue
    const removedBytes = await options.uploads.removeIfIdle(group.id, options.idleMs)
    if (removedBytes === undefined) continue
    swept.removed += 1
    swept.sizeBytes += removedBytes
  }
  for await (const multipart of listMultiparts(options.connection, options.keys.blobs)) {
    if (options.running.has(multipart.id)) continue
    await sweepOrphan(multipart, { ...options, swept })
  }
  for await (const multipart of listMultiparts(options.connection, options.keys.uploads)) {
    const id = options.keys.uploadOf(multipart.key)
    if (id === undefined || options.uploads.isBusy(id) || (await options.uploads.owns(id, multipart.id))) continue
    await sweepOrphan(multipart, { ...options, swept })
  }
  return swept
}

async function sweepOrphan(
  multipart: Multipart & { begunAtMs: number },
  { connection, idleMs, swept }: { connection: Connection; idleMs: number; swept: Swept },
): Promise<void> {
  if (Date.now() - multipart.begunAtMs < idleMs) return
  try {
    const parts = await listParts(connection, multipart)
    const lastMs = Math.max(multipart.begunAtMs, ...parts.map((part) => part.modifiedAtMs))
    if (Date.now() - lastMs < idleMs) return
    await abortMultipart(connection, multipart)
    swept.removed += 1
    swept.sizeBytes += parts.reduce((total, part) => total + part.sizeBytes, 0)
  } catch (error) {
    if (!isGoneMultipart(error)) throw error
  }
}

/** Uploads with the time one of their objects was last written; keys come in order, so those of one stand together. */
async function* groupsOf(connection: Connection, keys: Keys): AsyncGenerator<{ id: UploadId; modifiedAtMs: number }> {
  let group: { id: UploadId; modifiedAtMs: number } | undefined
  for await (const { key, modifiedAtMs } of connection.list(keys.uploads)) {
    const id = keys.uploadOf(key)
    if (id === undefined) continue
    if (group !== undefined && group.id !== id) yield group
    group = { id, modifiedAtMs: Math.max(modifiedAtMs, group?.id === id ? group.modifiedAtMs : 0) }
  }
  if (group !== undefined) yield group
}

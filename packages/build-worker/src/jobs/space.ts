import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { FreeholdError } from '@freehold/contracts'
import type { Client } from '../net/client.ts'

/** Room for what every job writes besides: the changed parts of an image, the device agent. */
const slackBytes = 256 * 1024 * 1024

/**
 * Throws `storage-full` where the disk of the workspace certainly has too little room: for the base image, unless it is kept
 * already, and for the image too where a tool writes it to a file. Bases whose size nobody tells count as nothing;
 * the image tool looks again when it knows more.
 */
export async function requireRoom(
  options: {
    folder: string
    cacheFolder: string
    base: { url: string; sha256: string | undefined }
    writesImage: boolean
  },
  {
    client,
    signal,
    freeBytes,
  }: { client: Client; signal: AbortSignal; freeBytes: (folder: string) => Promise<number> },
): Promise<void> {
  const { base } = options
  const cachedBytes = base.sha256 === undefined ? null : await sizeOf(join(options.cacheFolder, base.sha256))
  const baseBytes = cachedBytes ?? (await announcedBytes(base.url, { client, signal })) ?? 0
  const neededBytes = (cachedBytes === null ? baseBytes : 0) + (options.writesImage ? baseBytes : 0) + slackBytes
  const free = await freeBytes(options.folder)
  if (free >= neededBytes) return
  throw new FreeholdError(
    'storage-full',
    `The build worker has ${megabytes(free)} MB free and this image needs ${megabytes(neededBytes)} MB. Free space there, or use another worker.`,
  )
}

async function sizeOf(path: string): Promise<number | null> {
  return stat(path).then(
    ({ size }) => size,
    () => null,
  )
}

/** Asked by a range of one byte: signed addresses are good for GET alone. Null where it is not told. */
async function announcedBytes(
  url: string,
  { client, signal }: { client: Client; signal: AbortSignal },
): Promise<number | null> {
  try {
    const headers = { 'accept-encoding': 'identity', range: 'bytes=0-0' }
    const answer = await client.send(url, { headers, signal, follow: true, idleMs: 20_000 })
    await answer.body?.cancel()
    const total = /\/(\d+)$/.exec(answer.headers.get('content-range') ?? '')?.[1]
    const length = total ?? (answer.status === 200 ? answer.headers.get('content-length') : null)
    return length === null ? null : Number(length)
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof FreeholdError) throw error
    // The download says better what is wrong, and tries longer.
    return null
  }
}

function megabytes(sizeBytes: number): number {
  return Math.ceil(sizeBytes / 1_000_000)
}

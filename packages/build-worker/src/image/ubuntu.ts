import { FreeholdError } from '@freehold/contracts'
import { type Client, nameOf } from '../net/client.ts'

/** A list of checksums is a few kilobytes. */
const longestListBytes = 1024 * 1024
/** Folders of one version: releases.ubuntu.com has the first, cdimage.ubuntu.com the second. */
const folders = ['', 'release/']

export interface UbuntuImage {
  url: string
  sha256: string
}

/**
 * Finds Ubuntu's own live-server image of a version (24.04 gives the newest of 24.04.x) by the checksums that are published with
 * it. Throws `not-found` and `upstream-failed`.
 */
export async function findUbuntu(
  wanted: { mirror: string; version: string; architecture: 'amd64' | 'arm64' },
  { client, signal }: { client: Client; signal: AbortSignal },
): Promise<UbuntuImage> {
  for (const folder of folders) {
    const place = `${wanted.mirror}/${wanted.version}/${folder}`
    const list = await readList(`${place}SHA256SUMS`, { client, signal })
    const found = list === undefined ? undefined : newestOf(list, wanted)
    if (found !== undefined) return { url: place + found.filename, sha256: found.sha256 }
  }
  throw new FreeholdError(
    'not-found',
    `${nameOf(wanted.mirror)} lists no live-server image of Ubuntu ${wanted.version} for ${wanted.architecture}. Choose another version, or give a base image (sourceImageUrl).`,
  )
}

/** Pure: the newest live-server image of the list, by its point release. */
export function newestOf(
  list: string,
  { version, architecture }: { version: string; architecture: string },
): { filename: string; sha256: string } | undefined {
  const found = list.split('\n').flatMap((line) => {
    const [, sha256 = '', filename = '', release = ''] =
      /^([0-9a-f]{64}) [ *](ubuntu-(\d\d\.\d\d(?:\.\d{1,3})?)-live-server-[a-z0-9]+\.iso)\s*$/.exec(line) ?? []
    const isWanted = filename.endsWith(`-${architecture}.iso`) && `${release}.`.startsWith(`${version}.`)
    return isWanted ? [{ filename, sha256, point: Number(release.split('.')[2] ?? 0) }] : []
  })
  return found.toSorted((one, other) => other.point - one.point)[0]
}

async function readList(
  url: string,
  { client, signal }: { client: Client; signal: AbortSignal },
): Promise<string | undefined> {
  const failed = (why: string, cause?: unknown) =>
    new FreeholdError('upstream-failed', `Ubuntu's list of images cannot be read at ${nameOf(url)}: ${why}`, { cause })
  try {
    const answer = await client.send(url, { headers: { 'accept-encoding': 'identity' }, signal, follow: true })
    if (answer.status === 404) {
      await answer.body?.cancel()
      return undefined
    }
    if (answer.status !== 200) throw failed(`it answered ${answer.status}.`)
    const chunks: Uint8Array[] = []
    let sizeBytes = 0
    for await (const chunk of answer.body ?? []) {
      sizeBytes += chunk.length
      if (sizeBytes > longestListBytes) throw failed('it is larger than 1 MiB.')
      chunks.push(chunk)
    }
    return Buffer.concat(chunks).toString()
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof FreeholdError) throw error
    throw failed(error instanceof Error ? error.message : String(error), error)
  }
}

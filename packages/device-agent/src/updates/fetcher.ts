import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Fetcher } from 'tuf-js'
import { DownloadHTTPError } from 'tuf-js/dist/error.js'
import { send } from '../http.ts'

/** How the library gets what it wants: over our own HTTP, bounded, without redirects. */
export interface ChannelFetcher extends Fetcher {
  /** What the last request that failed said; the library hides which of its errors came from the network. */
  failure(): string | null
}

/** `nodeToken` is sent to the files of releases of this control plane alone; all else is public. */
export function createFetcher(options: {
  updatesUrl: URL
  nodeToken: string | null
  /** Where a download lies while it is judged. */
  folder: string
  timeLimitMs: number
}): ChannelFetcher {
  const { updatesUrl, nodeToken, folder, timeLimitMs } = options
  const protectedPrefixes = ['releases/', 'baseos/'].map((folder) => new URL(folder, updatesUrl).href)
  let failure: string | null = null

  const downloadBytes = async (address: string, answerLimitBytes: number): Promise<Buffer> => {
    const url = new URL(address)
    const isProtected = protectedPrefixes.some((prefix) => url.href.startsWith(prefix))
    const headers = isProtected && nodeToken !== null ? { authorization: `Bearer ${nodeToken}` } : undefined
    try {
      const answer = await send({ url, method: 'GET', timeLimitMs, answerLimitBytes, ...(headers ? { headers } : {}) })
      if (answer.status === 200) return Buffer.from(answer.body)
      throw new DownloadHTTPError(`${url.host}${url.pathname} was answered with ${answer.status}.`, answer.status)
    } catch (error) {
      failure = error instanceof Error ? error.message : String(error)
      throw error
    }
  }
  return {
    failure: () => failure,
    downloadBytes: async (address, limitBytes) => {
      try {
        return await downloadBytes(address, limitBytes)
      } catch (error) {
        // The chain of roots ends where the next one is missing; that is no failure.
        const isEndOfRoots = error instanceof DownloadHTTPError && [403, 404].includes(error.statusCode)
        if (isEndOfRoots && /\/\d+\.root\.json$/.test(address)) failure = null
        throw error
      }
    },
    downloadFile: async (address, limitBytes, handle) => {
      const path = join(folder, 'download')
      await writeFile(path, await downloadBytes(address, limitBytes))
      return await handle(path)
    },
  }
}

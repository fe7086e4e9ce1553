import { createHash, type Hash } from 'node:crypto'
import { open, stat } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { FreeholdError } from '@freehold/contracts'
import type { FetchBase } from '../context.ts'
import { readFileStream, storageErrorOf, writeAll } from '../output.ts'

export interface DownloadOptions {
  url: string
  /** The file written; what it holds already is taken as the beginning of the download. */
  path: string
  largestBytes: number
  stallMs: number
  signal: AbortSignal
  fetch: FetchBase
  /** Asked once, as soon as the size is known; throws where there is no room. */
  requireRoom: (missingBytes: number) => Promise<void>
  progress: (doneBytes: number, totalBytes: number | null) => void
}

const attempts = 5

/**
 * Downloads a file and gives its sha256. What fails on the way is taken up where it stopped (RFC 9110 section 14),
 * up to five times without a byte in between. Throws `upstream-failed`, `body-too-large`, `storage-full`, and the
 * signal's reason.
 */
export async function download(options: DownloadOptions): Promise<{ sha256: string; sizeBytes: number }> {
  const state: DownloadState = { sizeBytes: 0, hash: createHash('sha256'), validator: undefined, asked: false }
  await takeUp(options, state)
  for (let failures = 0; ; ) {
    const before = state.sizeBytes
    try {
      await attempt(options, state)
      return { sha256: state.hash.digest('hex'), sizeBytes: state.sizeBytes }
    } catch (error) {
      options.signal.throwIfAborted()
      if (error instanceof FreeholdError) throw error
      const stored = storageErrorOf(error, options.path)
      if (stored !== error) throw stored
      failures = state.sizeBytes > before ? 1 : failures + 1
      if (failures >= attempts) throw unreachable(options.url, error)
      await delay(200 * 2 ** failures, undefined, { signal: options.signal })
    }
  }
}

interface DownloadState {
  sizeBytes: number
  hash: Hash
  /** Entity tag of what was begun, so that the rest comes from the same file. */
  validator: string | undefined
  asked: boolean
}

async function takeUp(options: DownloadOptions, state: DownloadState): Promise<void> {
  const size = await stat(options.path).then(
    (found) => found.size,
    () => 0,
  )
  if (size === 0) return
  for await (const chunk of readFileStream(options.path, { signal: options.signal })) state.hash.update(chunk)
  state.sizeBytes = size
}

async function attempt(options: DownloadOptions, state: DownloadState): Promise<void> {
  const stalled = new AbortController()
  const signal = AbortSignal.any([options.signal, stalled.signal])
  const watch = () => setTimeout(() => stalled.abort(new Error('the server sends nothing')), options.stallMs)
  let timer = watch()
  try {
    const response = await options.fetch(options.url, { headers: headersOf(state), signal })
    if (response.status === 416 && isComplete(response, state)) return
    const body = await bodyOf(response, options, state)
    const totalBytes = totalOf(response, state)
    if (totalBytes !== null && totalBytes > options.largestBytes) throw tooLarge(options)
    if (!state.asked && totalBytes !== null) await options.requireRoom(totalBytes - state.sizeBytes)
    state.asked = true
    const file = await open(options.path, state.sizeBytes === 0 ? 'w' : 'a', 0o600)
    try {
      for await (const piece of body) {
        clearTimeout(timer)
        const chunk = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength)
        if (state.sizeBytes + chunk.length > options.largestBytes) throw tooLarge(options)
        await writeAll(file, chunk)
        state.hash.update(chunk)
        state.sizeBytes += chunk.length
        options.progress(state.sizeBytes, totalBytes)
        timer = watch()
      }
      if (totalBytes !== null && state.sizeBytes < totalBytes) throw new Error('the connection ended too early')
      await file.sync()
    } finally {
      await file.close()
    }
  } finally {
    clearTimeout(timer)
  }
}

function headersOf(state: DownloadState): Record<string, string> {
  // A compressed transfer would be unpacked on the way, and its ranges would count other bytes.
  const headers: Record<string, string> = { 'accept-encoding': 'identity' }
  if (state.sizeBytes > 0) {
    headers.range = `bytes=${state.sizeBytes}-`
    if (state.validator !== undefined) headers['if-range'] = state.validator
  }
  return headers
}

async function bodyOf(response: Response, options: DownloadOptions, state: DownloadState) {
  if (response.status === 200 && state.sizeBytes > 0) {
    // The server sends everything anew: it knows no ranges, or the file is another one now.
    state.sizeBytes = 0
    state.hash = createHash('sha256')
  }
  const begins = /^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1]
  const expected = response.status === 200 || (response.status === 206 && Number(begins) === state.sizeBytes)
  if (!expected || response.body === null) {
    await response.body?.cancel()
    const sentence = `${nameOf(options.url)} answered ${response.status}.`
    if (response.status >= 500 || response.status === 429) throw new Error(sentence)
    throw new FreeholdError('upstream-failed', `The base image cannot be downloaded: ${sentence}`)
  }
  const tag = response.headers.get('etag')
  state.validator = tag === null || tag.startsWith('W/') ? undefined : tag
  return response.body
}

function totalOf(response: Response, state: DownloadState): number | null {
  const length = response.headers.get('content-length')
  return length === null ? null : state.sizeBytes + Number(length)
}

function isComplete(response: Response, state: DownloadState): boolean {
  return response.headers.get('content-range') === `bytes */${state.sizeBytes}`
}

function tooLarge(options: DownloadOptions): FreeholdError {
  return new FreeholdError(
    'body-too-large',
    `The base image at ${nameOf(options.url)} is larger than the ${Math.floor(options.largestBytes / 1_000_000)} MB allowed.`,
  )
}

function unreachable(url: string, cause: unknown): FreeholdError {
  const detail = cause instanceof Error ? ((cause.cause as Error | undefined)?.message ?? cause.message) : ''
  return new FreeholdError('upstream-failed', `The base image cannot be downloaded from ${nameOf(url)}: ${detail}`, {
    cause,
  })
}

/** An address without what may be secret in it: user, password and query. */
function nameOf(url: string): string {
  const { origin, pathname } = new URL(url)
  return origin + pathname
}

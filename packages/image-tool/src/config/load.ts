import { readFile, realpath, stat } from 'node:fs/promises'
import { dirname, join, resolve, sep } from 'node:path'
import { FreeholdError } from '@freehold/contracts'
import { type ContentFields, type ImageConfig, imageConfig } from './schema.ts'

const longestConfigBytes = 32 * 1024 * 1024
const longestSourceBytes = 1024 * 1024 * 1024

/** Checks a configuration. Throws `invalid-input` with every fault and its path; no value is repeated in it. */
export function parseConfig(input: unknown): ImageConfig {
  const result = imageConfig.safeParse(input)
  if (result.success) return result.data
  const details = result.error.issues.map(({ path, message }) => ({ path: path.join('.'), message }))
  const list = details.map(({ path, message }) => `${path === '' ? 'configuration' : path}: ${message}`)
  throw new FreeholdError('invalid-input', `The configuration is wrong. ${list.join('; ')}`, { details })
}

/** Reads and checks a configuration file; `folder` is what its relative paths start from. Throws as `parseConfig`. */
export async function loadConfig(path: string): Promise<{ config: ImageConfig; folder: string }> {
  const text = await readConfigText(path)
  let input: unknown
  try {
    input = JSON.parse(text)
  } catch {
    // What the parser says repeats the text, which may hold a token.
    throw new FreeholdError('invalid-json', `${path} is not JSON.`)
  }
  return { config: parseConfig(input), folder: dirname(resolve(path)) }
}

async function readConfigText(path: string): Promise<string> {
  try {
    const { size } = await stat(path)
    if (size > longestConfigBytes) throw new FreeholdError('body-too-large', `${path} is larger than 32 MiB.`)
    return await readFile(path, 'utf8')
  } catch (error) {
    if (error instanceof FreeholdError) throw error
    throw new FreeholdError('not-found', `The configuration ${path} cannot be read.`, { cause: error })
  }
}

/** Bytes that a configuration brings, or the file that holds them. */
export type FileContent = { bytes: Buffer; sizeBytes: number } | { source: string; sizeBytes: number }

/**
 * Where the bytes of a file come from. A source must be a file inside the configuration's folder, links followed.
 * Throws `invalid-input` otherwise.
 */
export async function contentOf(file: ContentFields & { path: string }, folder: string): Promise<FileContent> {
  if (file.source === undefined) {
    const bytes =
      file.contentBase64 === undefined ? Buffer.from(file.content ?? '') : Buffer.from(file.contentBase64, 'base64')
    return { bytes, sizeBytes: bytes.length }
  }
  const root = await realpath(folder)
  const source = await realpath(join(root, file.source)).catch(() => undefined)
  if (source === undefined) throw new FreeholdError('invalid-input', `The source of ${file.path} does not exist.`)
  if (!source.startsWith(root === sep ? sep : root + sep)) {
    throw new FreeholdError('invalid-input', `The source of ${file.path} lies outside the configuration's folder.`)
  }
  const found = await stat(source)
  if (!found.isFile()) throw new FreeholdError('invalid-input', `The source of ${file.path} is not a file.`)
  if (found.size > longestSourceBytes) {
    throw new FreeholdError('invalid-input', `The source of ${file.path} is larger than 1 GiB.`)
  }
  return { source, sizeBytes: found.size }
}

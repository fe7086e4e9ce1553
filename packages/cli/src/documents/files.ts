import { mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { type Document, documentSchema } from '@freehold/contracts'
import { stringify } from 'yaml'
import { CliError, exitCodes } from '../exit-codes.ts'
import { readTextFile } from '../input/source.ts'
import { describeIssues, parseYaml, type YamlDocument } from '../input/yaml.ts'
import { orderKeys } from '../schema.ts'

/** A document and where it was read. */
export interface Sourced {
  document: Document
  source: YamlDocument
}

const maxFiles = 20_000
const folderOf: Record<Document['kind'], string> = {
  cluster: 'clusters',
  'external-registry': 'external-registries',
  image: 'images',
  service: 'services',
}

/** Reads every .yaml, .yml and .json file below a directory (or one file). All faults are told at once. */
export async function readDocuments(path: string): Promise<Sourced[]> {
  const read: Sourced[] = []
  const faults: string[] = []
  for (const file of await listFiles(path)) {
    for (const source of parseYaml(await readTextFile(file), file)) {
      const parsed = documentSchema.safeParse(source.value)
      if (parsed.success) read.push({ document: parsed.data, source })
      else faults.push(...describeIssues(parsed.error.issues, source))
    }
  }
  faults.push(...duplicates(read))
  if (faults.length === 0) return read
  const more = faults.length > 50 ? `\n  … and ${faults.length - 50} more` : ''
  const list = faults.slice(0, 50).map((fault) => `\n  ${fault}`)
  throw new DocumentsError(`The documents do not fit:${list.join('')}${more}`)
}

/** Faults of files; its message has a line for each, which the printer keeps apart. */
class DocumentsError extends CliError {
  constructor(message: string) {
    super(exitCodes.usage, message, 'Correct the files; `freehold export` shows what they look like.')
  }
}

/** The text of a document: keys in a fixed order, so that equal states give equal files. */
export function documentText(document: Document): string {
  const ordered = orderKeys(documentSchema, document) as Document
  return stringify(ordered, { lineWidth: 0 })
}

/** Where a document is kept in an exported directory: `services/web.yaml`. */
export function documentPath(document: Document): string {
  const path = join(folderOf[document.kind], `${document.name}.yaml`)
  if (relative('.', path).startsWith('..') || path.split(sep).includes('..')) {
    throw new CliError(exitCodes.failed, `"${document.name}" cannot be a file name.`)
  }
  return path
}

/**
 * Writes one file a document. Answers the files in the same folders that hold none of them any more; `prune` removes
 * those.
 */
export async function writeDocuments(
  directory: string,
  documents: readonly Document[],
  options: { prune: boolean },
): Promise<{ written: string[]; others: string[] }> {
  const written: string[] = []
  for (const document of documents) {
    const file = join(directory, documentPath(document))
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, documentText(document))
    written.push(file)
  }
  const there = (
    await Promise.all(Object.values(folderOf).map((folder) => listIfThere(join(directory, folder))))
  ).flat()
  const known = new Set(written.map((file) => resolve(file)))
  const others = there.filter((file) => !known.has(resolve(file)))
  if (options.prune) for (const file of others) await rm(file)
  return { written, others }
}

function duplicates(read: readonly Sourced[]): string[] {
  const first = new Map<string, YamlDocument>()
  return read.flatMap(({ document, source }) => {
    const key = `${document.kind} ${document.name}`
    const earlier = first.get(key)
    if (earlier === undefined) {
      first.set(key, source)
      return []
    }
    return [`${source.locate(['name'])}: ${key} is described in ${earlier.locate(['name'])} already`]
  })
}

async function listFiles(path: string): Promise<string[]> {
  let isDirectory: boolean
  try {
    isDirectory = (await stat(path)).isDirectory()
  } catch (error) {
    throw new CliError(
      exitCodes.usage,
      `${path} cannot be read: ${(error as Error).message}`,
      'Name a directory of documents; `freehold export -o DIR` makes one.',
    )
  }
  const files = isDirectory ? await listIfThere(path) : [path]
  if (files.length > maxFiles) throw new CliError(exitCodes.usage, `${path} holds more than ${maxFiles} files.`)
  return files
}

async function listIfThere(directory: string): Promise<string[]> {
  try {
    const entries = await readdir(directory, { recursive: true, withFileTypes: true })
    return entries
      .filter((entry) => entry.isFile() && /\.(ya?ml|json)$/.test(entry.name))
      .map((entry) => join(entry.parentPath, entry.name))
      .filter(
        (file) =>
          !relative(directory, file)
            .split(sep)
            .some((part) => part.startsWith('.') || part === 'node_modules'),
      )
      .toSorted()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

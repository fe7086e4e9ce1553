import { FreeholdError } from '@freehold/contracts'
import { CliError, exitCodes } from '../exit-codes.ts'
import type { Io } from '../io.ts'
import { type Data, isObject } from './assign.ts'
import { readSource } from './source.ts'
import { parseYaml, type YamlDocument } from './yaml.ts'

/** What `--file` says of a resource. */
export interface Input {
  data: Data
  labels: Record<string, string> | undefined
  /** Where a field of `data` stands in the file; null where there is no file. */
  locate: ((path: readonly string[]) => string) | null
}

/** Fields of a resource that are the server's to say; a file may hold them because `get` shows them. */
const serverFields = ['kind', 'id', 'status', 'generation', 'version', 'createdAt', 'updatedAt']

/** Reads one resource: either `data` and `labels` as `get` shows them, or the fields of `data` alone. */
export async function readInput(io: Io, file: string | undefined): Promise<Input> {
  if (file === undefined) return { data: {}, labels: undefined, locate: null }
  const { text, name } = await readSource(io, file)
  const [document, second] = parseYaml(text, name)
  if (document === undefined || !isObject(document.value)) {
    throw new CliError(exitCodes.usage, `${name} holds no fields.`, 'Write them as YAML, such as `scaleFactor: 2`.')
  }
  if (second !== undefined) {
    throw new CliError(exitCodes.usage, `${name} holds several documents.`, '`freehold apply` takes many at once.')
  }
  if ('spec' in document.value) {
    throw new CliError(
      exitCodes.usage,
      `${name} is a document of desired state.`,
      '`freehold plan` and `freehold apply` take it.',
    )
  }
  return inputOf(document, document.value)
}

function inputOf(document: YamlDocument, value: Data): Input {
  if (!isObject(value.data)) return { data: value, labels: undefined, locate: (path) => document.locate(path) }
  const { data, labels, ...others } = value
  const unknown = Object.keys(others).find((name) => !serverFields.includes(name))
  if (unknown !== undefined) {
    throw new CliError(
      exitCodes.usage,
      `${document.locate([unknown])}: ${unknown}: there is no such field beside data and labels.`,
    )
  }
  return {
    data: data as Data,
    labels: isObject(labels) ? (labels as Record<string, string>) : undefined,
    locate: (path) => document.locate(['data', ...path]),
  }
}

/** Runs a request; faults the server finds in fields of the file are told with file and line. */
export async function withPlaces<T>(input: Input, request: () => Promise<T>): Promise<T> {
  try {
    return await request()
  } catch (error) {
    const { locate } = input
    if (!(error instanceof FreeholdError) || error.code !== 'invalid-input' || locate === null) throw error
    const details = error.details.map(({ path, message }) => {
      const parts = path.replace(/^(body\.)?(data\.)?/, '').split('.')
      return { path, message: `${message} (${locate(parts)})` }
    })
    throw new FreeholdError(error.code, error.message, { cause: error, details })
  }
}

import { isMap, isNode, isPair, isSeq, LineCounter, parseAllDocuments } from 'yaml'
import type { z } from 'zod'
import { CliError, exitCodes } from '../exit-codes.ts'

/** One document of a YAML text, and where its parts stand. */
export interface YamlDocument {
  value: unknown
  /** `file:line` of the deepest part of this path that the text holds. */
  locate(path: readonly PropertyKey[]): string
}

/** Reads all documents of a text; a fault names file and line. Empty documents are left out. */
export function parseYaml(text: string, file: string): YamlDocument[] {
  const lines = new LineCounter()
  const documents = parseAllDocuments(text, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: true,
    maxAliasCount: 100,
  } as never)
  const read: YamlDocument[] = []
  for (const document of Array.isArray(documents) ? documents : []) {
    const fault = document.errors[0]
    if (fault !== undefined) {
      const { line, col } = lines.linePos(fault.pos[0])
      throw new CliError(
        exitCodes.usage,
        `${file}:${line}:${col} is not valid YAML: ${fault.message}`,
        'Correct the file.',
      )
    }
    if (document.contents === null) continue
    const contents: unknown = document.contents
    read.push({
      value: toJs(document, file),
      locate: (path) => `${file}:${lines.linePos(offsetOf(contents, path)).line}`,
    })
  }
  return read
}

/** Faults of a schema as `file:line: path: what`, one a line; unknown fields are named. */
export function describeIssues(issues: readonly z.core.$ZodIssue[], document: YamlDocument): string[] {
  return issues.flatMap((issue) => {
    const path = issue.path
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => {
        const where = [...path, key]
        return `${document.locate(where)}: ${where.map(String).join('.')}: there is no such field`
      })
    }
    const name = path.length === 0 ? 'the document' : path.map(String).join('.')
    return [`${document.locate(path)}: ${name}: ${issue.message}`]
  })
}

function toJs(document: { toJS(options: { maxAliasCount: number }): unknown }, file: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 })
  } catch (error) {
    throw new CliError(exitCodes.usage, `${file} cannot be read: ${(error as Error).message}`)
  }
}

function offsetOf(node: unknown, path: readonly PropertyKey[]): number {
  const own = isNode(node) ? (node.range?.[0] ?? 0) : 0
  const [name, ...rest] = path
  if (name === undefined) return own
  if (isMap(node)) {
    const pair = node.items.find((item) => isPair(item) && String(item.key) === String(name))
    if (pair === undefined) return own
    const keyOffset = isNode(pair.key) ? (pair.key.range?.[0] ?? own) : own
    return rest.length === 0 ? keyOffset : Math.max(keyOffset, offsetOf(pair.value, rest))
  }
  if (isSeq(node)) {
    const item = node.items[Number(name)]
    return item === undefined ? own : offsetOf(item, rest)
  }
  return own
}

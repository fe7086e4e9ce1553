import { readdir, readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { parseSync, Visitor } from 'oxc-parser'

/** A file of the repository: `path` from its root, with `/`. */
export interface TextFile {
  path: string
  text: string
}

/** One import in any form: static, re-export, dynamic, or of a type. */
export interface Import {
  /** As written; undefined where a dynamic import computes it. */
  specifier: string | undefined
  /** The names taken, as the other module calls them. */
  names: string[]
}

const skippedFolders = new Set(['node_modules', 'dist', 'coverage', '.git', '.freehold', '.cache'])
const textEndings = /\.(ts|tsx|mjs|js|json|md|css|html|sh|yml|yaml)$|\.ci\/run$/

/** All text files below `root`, without what is installed, built or locked by a tool. */
export async function readTextFiles(root: string): Promise<TextFile[]> {
  const entries = await readdir(root, { withFileTypes: true, recursive: true })
  const paths = entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .filter((path) => textEndings.test(path) && path !== 'package-lock.json')
    .filter((path) => !path.split('/').some((part) => skippedFolders.has(part)))
  return Promise.all(paths.toSorted().map(async (path) => ({ path, text: await readFile(join(root, path), 'utf8') })))
}

export function isCode(file: TextFile): boolean {
  return /\.(ts|tsx|mjs)$/.test(file.path)
}

/** Tests, and the files that only tests use: `x.test.ts`, `x.testing.ts`, `x.fixture.ts`, `testing.ts`, `test-….ts`, `suite/`. */
export function servesTests(path: string): boolean {
  return /\.(test|testing|fixture)\.tsx?$|\/(testing|suite|test-[a-z-]+)\.tsx?$|\/suite\//.test(path)
}

/** Every import of a file. Throws if the file cannot be parsed, so that none is passed over. */
export function importsOf(file: TextFile): Import[] {
  const { module, program, errors } = parseSync(file.path, file.text)
  if (errors[0] !== undefined) throw new Error(`${file.path} cannot be parsed: ${errors[0].message}`)
  const imports: Import[] = module.staticImports.map((entry) => ({
    specifier: entry.moduleRequest.value,
    names: entry.entries.flatMap(({ importName }) => importName.name ?? []),
  }))
  for (const entry of module.staticExports.flatMap((statement) => statement.entries)) {
    if (entry.moduleRequest !== null) {
      imports.push({ specifier: entry.moduleRequest.value, names: [entry.importName.name ?? '*'] })
    }
  }
  for (const { moduleRequest } of module.dynamicImports) {
    imports.push({ specifier: literal(file.text.slice(moduleRequest.start, moduleRequest.end)), names: ['*'] })
  }
  new Visitor({
    TSImportType: (node) => void imports.push({ specifier: node.source.value, names: ['*'] }),
  }).visit(program)
  return imports
}

function literal(expression: string): string | undefined {
  return /^(['"`])([^'"`$]+)\1$/.exec(expression.trim())?.[2]
}

import { posix } from 'node:path'
import { importsOf, servesTests, type TextFile } from './source.ts'

/** Which of our packages each room may import; `every` for rooms that stand outside, such as tests and tools. */
export type ImportTable = ReadonlyMap<string, ReadonlySet<string> | 'every'>

const scope = '@freehold/'

/**
 * Reads the table below the heading "Who may import whom". A row is `| rooms | rooms |`, names apart by commas;
 * "nothing of ours" and "every package" are what they say. Throws where there is no such table.
 */
export function readImportTable(architecture: string): ImportTable {
  const section = architecture.split(/^## /m).find((part) => part.startsWith('Who may import whom'))
  const rows =
    section
      ?.split('\n')
      .filter((line) => line.startsWith('|'))
      .slice(2) ?? []
  if (rows.length === 0) throw new Error('ARCHITECTURE.md has no table below "Who may import whom".')
  const names = (cell: string | undefined) => (cell ?? '').split(',').map((name) => name.trim().replaceAll('`', ''))
  return new Map(
    rows.flatMap((row) => {
      const [, rooms, allowed] = row.split('|')
      const may = names(allowed)
      const value = may[0] === 'every package' ? 'every' : new Set(may[0] === 'nothing of ours' ? [] : may)
      return names(rooms).map((room) => [room, value] as const)
    }),
  )
}

/** Packages that the table lacks, and rows of packages that are gone. */
export function faultsOfTable(table: ImportTable, packages: readonly string[]): string[] {
  const inTable = [...table].filter(([, may]) => may !== 'every').map(([room]) => room)
  return [
    ...packages
      .filter((name) => !table.has(name))
      .map((name) => `packages/${name} is not in the import table: add its row to ARCHITECTURE.md.`),
    ...inTable
      .filter((room) => !packages.includes(room))
      .map((room) => `The import table names ${room}, which does not exist: remove its row from ARCHITECTURE.md.`),
  ]
}

/** Everything a file imports that its room may not. */
export function faultsOfImports(file: TextFile, table: ImportTable): string[] {
  return importsOf(file).flatMap(({ specifier }) => {
    if (specifier === undefined) return [`${file.path} imports a computed name: write the name out.`]
    const fault = specifier.startsWith('.')
      ? faultOfRelative(file.path, specifier)
      : faultOfPackage(file.path, specifier, table)
    return fault === undefined ? [] : [fault]
  })
}

function faultOfPackage(path: string, specifier: string, table: ImportTable): string | undefined {
  if (!specifier.startsWith(scope)) return undefined
  const target = specifier.slice(scope.length).split('/')[0] ?? ''
  const room = roomOf(path)
  const may = table.get(room)
  if (may === undefined) return `${path} lies in ${room}, which the import table lacks: add its row to ARCHITECTURE.md.`
  if (may === 'every' || may.has(target)) return undefined
  return `${path} imports ${specifier}, but ${room} may import ${[...may].join(', ') || 'nothing of ours'}: move what is shared into a room both may import.`
}

function faultOfRelative(path: string, specifier: string): string | undefined {
  const target = posix.join(posix.dirname(path), specifier)
  const [from, to] = [roomOf(path), roomOf(target)]
  if (from !== to) {
    // Tests on real parts start them through the lab and the tools, wherever they stand; stories may use what a
    // package's own tests use.
    if (from === 'test' && servesTests(target)) return undefined
    if (servesTests(path) && /^(test\/system\/lab|tools)\//.test(target)) return undefined
    if (!path.startsWith('packages/') && !target.startsWith('packages/')) return undefined
    return `${path} reaches into ${to} by ${specifier}: import the package by its name, if the table allows it.`
  }
  return faultOfNoun(path, target)
}

/** Inside the server a folder is a noun. `http` is the door, which every noun stands behind and may name. */
function faultOfNoun(path: string, target: string): string | undefined {
  const [from, to] = [nounOf(path), nounOf(target)]
  if (to === undefined || from === to || to === 'http') return undefined
  if (target === `packages/server/src/${to}/index.ts`) return undefined
  if (servesTests(path) && servesTests(target)) return undefined
  return `${path} imports ${target}: another noun is imported only through its index.ts, so export it there.`
}

function nounOf(path: string): string | undefined {
  return /^packages\/server\/src\/([^/]+)\//.exec(path)?.[1]
}

/** `server` for packages/server/…, else the first folder, or `root` for files that lie in none. */
function roomOf(path: string): string {
  const [first = '', second = ''] = path.split('/')
  if (first === 'packages' || first === 'apps') return first === 'apps' ? 'apps/*' : second
  return path.includes('/') ? first : 'root'
}

import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { faultsOfImports, faultsOfTable, readImportTable } from './tools/architecture/imports.ts'
import { importsOf, isCode, readTextFiles } from './tools/architecture/source.ts'
import { faultsOfTidiness } from './tools/architecture/tidy.ts'

const root = import.meta.dirname
const table = readImportTable(await readFile(join(root, 'ARCHITECTURE.md'), 'utf8'))
const packages = (await readdir(join(root, 'packages'))).filter((name) =>
  existsSync(join(root, 'packages', name, 'package.json')),
)
const files = await readTextFiles(root)
const code = files.filter(isCode)

describe('the repository', () => {
  test('is walked whole', () => {
    expect(code.length).toBeGreaterThan(25)
    expect(files.length).toBeGreaterThan(code.length)
    expect(code.flatMap(importsOf).length).toBeGreaterThan(100)
    for (const name of ['contracts', 'server']) {
      expect(code.filter((file) => file.path.startsWith(`packages/${name}/src/`))).not.toHaveLength(0)
    }
  })

  test('has every package in the import table, and no other', () => {
    expect(faultsOfTable(table, packages)).toEqual([])
  })

  test('imports only what the table allows', () => {
    expect(code.flatMap((file) => faultsOfImports(file, table))).toEqual([])
  })

  test('depends in each package.json only on what the table allows', async () => {
    for (const name of packages) {
      const manifest = JSON.parse(await readFile(join(root, 'packages', name, 'package.json'), 'utf8'))
      const ours = Object.keys({ ...manifest.dependencies, ...manifest.devDependencies })
        .filter((dependency) => dependency.startsWith('@freehold/'))
        .map((dependency) => dependency.slice('@freehold/'.length))
      const may = table.get(name)
      expect(may instanceof Set ? ours.filter((dependency) => !may.has(dependency)) : ['no row'], name).toEqual([])
    }
  })

  test('has its decisions numbered without a gap, and all of them listed', async () => {
    const names = (await readdir(join(root, 'docs/decisions'))).filter((name) => /^\d/.test(name)).toSorted()
    const list = await readFile(join(root, 'docs/decisions/README.md'), 'utf8')
    expect(names.length).toBeGreaterThan(0)
    expect(names.map((name) => Number(name.slice(0, 4)))).toEqual(names.map((_, index) => index + 1))
    expect(names.filter((name) => !list.includes(`(${name})`))).toEqual([])
  })

  test('is tidy', () => {
    expect(files.flatMap(faultsOfTidiness)).toEqual([])
  })
})

describe('a bad file is caught:', () => {
  const sample = readImportTable(
    '## Who may import whom\n\n| package | may import |\n|---|---|\n| contracts | nothing of ours |\n| store, server | contracts |\n| test | every package |\n',
  )
  const imports = (path: string, text: string) => faultsOfImports({ path, text }, sample)
  const tidiness = (path: string, text: string) => faultsOfTidiness({ path, text })

  test.each([
    ['a static import', "import { a } from '@freehold/server'"],
    ['an import for its effects', "import '@freehold/server'"],
    ['an import of a type', "import type { A } from '@freehold/server'"],
    ['a type in place', "type A = import('@freehold/server').A"],
    ['a re-export', "export { a } from '@freehold/server'"],
    ['a re-export of all', "export * from '@freehold/server'"],
    ['a dynamic import', "await import('@freehold/server')"],
    ['a deep import', "import { a } from '@freehold/server/src/a.ts'"],
  ])('%s of a package the table forbids', (_, text) => {
    expect(imports('packages/store/src/a.ts', text)).toEqual([expect.stringContaining('store may import contracts')])
  })

  test.each([
    ['by an import', "import { a } from '../../server/src/a.ts'"],
    ['even of an allowed package', "import { a } from '../../contracts/src/a.ts'"],
    ['by a re-export', "export * from '../../server/src/a.ts'"],
    ['by a dynamic import', "await import('../../server/src/a.ts')"],
    ['out of the packages', "import { a } from '../../../tools/a.ts'"],
  ])('a relative path into another room, %s', (_, text) => {
    expect(imports('packages/store/src/a.ts', text)).toEqual([expect.stringContaining('reaches into')])
  })

  test('a story that reaches into a package', () => {
    expect(imports('test/system/a.test.ts', "import { a } from '../../packages/server/src/a/service.ts'")).toEqual([
      expect.stringContaining('reaches into server'),
    ])
  })

  test('a dynamic import of a computed name', () => {
    expect(imports('packages/store/src/a.ts', 'await import(name)')).toEqual([expect.stringContaining('computed')])
  })

  test('a room that the table lacks', () => {
    expect(imports('packages/new/src/a.ts', "import '@freehold/contracts'")).toEqual([
      expect.stringContaining('the import table lacks'),
    ])
  })

  test('a noun that reaches behind the index of another noun, and a file beside the nouns too', () => {
    for (const path of ['packages/server/src/services/service.ts', 'packages/server/src/run.ts']) {
      const up = path.includes('services') ? '..' : '.'
      expect(imports(path, `import { a } from '${up}/rollouts/service.ts'`)).toEqual([
        expect.stringContaining('only through its index.ts'),
      ])
      expect(imports(path, `import { a } from '${up}/rollouts/index.ts'`)).toEqual([])
    }
  })

  test('what is allowed is not reported', () => {
    expect(imports('packages/store/src/a.ts', "import '@freehold/contracts'; import './b.ts'; import 'zod'")).toEqual(
      [],
    )
    expect(imports('test/system/a.test.ts', "import '@freehold/server'; import './lab/index.ts'")).toEqual([])
    expect(imports('packages/store/src/a.test.ts', "import '../../../test/system/lab/index.ts'")).toEqual([])
    expect(imports('packages/store/src/test-bed.ts', "import '../../../tools/a.ts'")).toEqual([])
    expect(imports('test/system/a.test.ts', "import '../../packages/server/src/a/testing.ts'")).toEqual([])
    expect(imports('packages/server/src/a/a.test.ts', "import '../b/b.testing.ts'")).toEqual([])
    expect(tidiness('packages/store/src/a.test.ts', "import { spawn } from 'node:child_process'\n")).toEqual([])
    expect(tidiness('packages/store/src/a.ts', "const found = /a/.exec('a')\n")).toEqual([])
  })

  test('a package without a row, and a row without a package', () => {
    expect(faultsOfTable(sample, ['contracts', 'store', 'server', 'new'])).toEqual([expect.stringContaining('new')])
    expect(faultsOfTable(sample, ['contracts', 'store'])).toEqual([expect.stringContaining('server')])
  })

  test('a document without the table', () => {
    expect(() => readImportTable('# Nothing here')).toThrow(/no table/)
  })

  test('a file that cannot be parsed', () => {
    expect(() => imports('packages/store/src/a.ts', 'import {')).toThrow(/cannot be parsed/)
  })

  test.each([
    ['a shell by name', "import { exec } from 'node:child_process'\n", 'runs a shell'],
    ['a shell by option', `spawn('ls', [], { ${'shell'}: true })\n`, 'asks for a shell'],
    ['a program started from a package', "import { spawn } from 'node:child_process'\n", 'starts programs'],
    ['a file that is too long', 'a()\n'.repeat(401), 'more than 400'],
    ['unfinished work', `// ${'TO'}${'DO'} later\n`, 'do it now'],
    ['a path of one machine', `read('${['', 'ho' + 'me', 'me', 'notes'].join('/')}')\n`, 'temporary folder'],
    [
      'the address of a package registry',
      `get('https://${['registry', 'npmjs', 'org'].join('.')}/x')\n`,
      'its registry',
    ],
    ['a mocked module', `vi.${'mock'}('./a.ts')\n`, 'pass a fake'],
    ['a silenced type', `// @ts-${'ignore'}\n`, 'correct the type'],
  ])('%s', (_, text, message) => {
    expect(tidiness('packages/store/src/a.ts', text).join('\n')).toContain(message)
  })
})

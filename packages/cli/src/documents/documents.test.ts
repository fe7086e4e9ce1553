import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Document, documentSchema } from '@freehold/contracts'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { describePlan } from './describe-plan.ts'
import { documentPath, documentText, readDocuments, writeDocuments } from './files.ts'

const web = documentSchema.parse({
  kind: 'service',
  name: 'web',
  labels: { team: 'b', area: 'a' },
  spec: {
    cluster: 'local',
    environment: { Z: '1', A: 'two\nlines' },
    command: ['a', 'true'],
    healthCheck: { type: 'http' },
  },
})
const cluster = documentSchema.parse({ kind: 'cluster', name: 'local', spec: {} })
const image = documentSchema.parse({ kind: 'image', name: 'workloads/web', spec: {} })

let directory = ''
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'freehold-cli-'))
})
afterEach(() => rm(directory, { recursive: true, force: true }))

describe('a directory of documents', () => {
  test('holds one file a document and reads back the same', async () => {
    const { written } = await writeDocuments(directory, [cluster, image, web], { prune: false })
    expect(written.map((file) => file.slice(directory.length + 1))).toEqual([
      'clusters/local.yaml',
      'images/workloads/web.yaml',
      'services/web.yaml',
    ])
    const read = await readDocuments(directory)
    expect(read.map(({ document }) => document)).toEqual([cluster, image, web])
  })

  test('gives the same text whatever the order of keys', () => {
    const shuffle = (value: unknown): unknown => {
      if (Array.isArray(value) || typeof value !== 'object' || value === null) return value
      return Object.fromEntries(
        Object.entries(value)
          .map(([name, item]) => [name, shuffle(item)] as const)
          .toReversed(),
      )
    }
    expect(documentText(shuffle(web) as Document)).toBe(documentText(web))
    expect(documentText(web)).toMatch(/^kind: service\nname: web\nlabels:\n {2}area: a\n {2}team: b\nspec:\n/)
  })

  test('removes files of what is gone only when told to', async () => {
    await mkdir(join(directory, 'services'))
    const stale = join(directory, 'services', 'old.yaml')
    const notes = join(directory, 'services', 'README.md')
    await writeFile(stale, documentText(web))
    await writeFile(notes, 'mine')
    expect((await writeDocuments(directory, [web], { prune: false })).others).toEqual([stale])
    expect(await readFile(stale, 'utf8')).toContain('web')
    await writeDocuments(directory, [web], { prune: true })
    await expect(readFile(stale)).rejects.toThrow(/ENOENT/)
    expect(await readFile(notes, 'utf8')).toBe('mine')
  })

  test('tells every fault of every file at once', async () => {
    await writeFile(join(directory, 'a.yaml'), 'kind: service\nname: web\nspec:\n  cluster: local\n  nosuch: 1\n')
    await writeFile(join(directory, 'b.yaml'), 'kind: server\nname: web\n')
    await expect(readDocuments(directory)).rejects.toThrow(
      /a\.yaml:5: spec\.nosuch: there is no such field\n.*b\.yaml:1: kind: /s,
    )
  })

  test('refuses the same thing described twice', async () => {
    await writeFile(join(directory, 'a.yaml'), documentText(web))
    await writeFile(join(directory, 'b.yaml'), documentText(web))
    await expect(readDocuments(directory)).rejects.toThrow(/b\.yaml:2: service web is described in .*a\.yaml:2 already/)
  })

  test('that is not there is said', async () => {
    await expect(readDocuments(join(directory, 'nowhere'))).rejects.toThrow(/cannot be read/)
  })

  test('never writes outside itself', () => {
    expect(() => documentPath({ ...image, name: '../../etc/x' } as Document)).toThrow(/cannot be a file name/)
  })
})

test('a plan reads as what would be made, changed and deleted', () => {
  const lines = describePlan(
    {
      version: 7,
      changes: [
        { action: 'create', kind: 'cluster', name: 'edge', id: null, fields: [] },
        { action: 'update', kind: 'service', name: 'web', id: null, fields: [{ path: 'scaleFactor', from: 1, to: 3 }] },
        { action: 'delete', kind: 'service', name: 'old', id: null, fields: [] },
      ],
      clusters: [
        { cluster: 'edge', steps: ['Start 2 replicas of web.'], problem: null },
        { cluster: 'far', steps: [], problem: 'No agent is connected.' },
      ],
    },
    (_, text) => text,
  )
  expect(lines).toEqual([
    '+ cluster edge',
    '~ service web',
    '    scaleFactor: 1 → 3',
    '- service old',
    'cluster edge would then:',
    '    Start 2 replicas of web.',
    'cluster far: not known: No agent is connected.',
    'Plan: 1 to create, 1 to update, 1 to delete.',
  ])
})

import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { cliReference } from './reference.ts'

const path = new URL('../../../docs/cli.md', import.meta.url)

test('docs/cli.md says what the command says of itself (`npm run generate` writes it)', async () => {
  expect(await readFile(path, 'utf8')).toBe(cliReference())
})

test('every command and every flag has a description', () => {
  const reference = cliReference()
  expect(reference).not.toMatch(/^- `[^`]+`: *$/m)
  expect(reference.match(/^#{2,4} freehold /gm)?.length).toBeGreaterThan(50)
})

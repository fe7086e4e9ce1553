import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'

const document = join(import.meta.dirname, '../../../../docs/registry-conformance.md')

/** Rows of the table: what is shown, and by which test. */
async function rowsOf(): Promise<{ endpoints: string; file: string; test: string }[]> {
  const lines = (await readFile(document, 'utf8')).split('\n').filter((line) => line.startsWith('| '))
  return lines.slice(1).map((line) => {
    const [, , endpoints = '', , shown = ''] = line.split('|').map((cell) => cell.trim())
    const at = shown.indexOf(': ')
    return { endpoints, file: `${shown.slice(0, at)}.test.ts`, test: shown.slice(at + 2) }
  })
}

it('names tests that there are, for every endpoint of the specification', async () => {
  const rows = await rowsOf()
  expect(rows.length).toBeGreaterThan(50)
  for (const { file, test } of rows) {
    const text = await readFile(join(import.meta.dirname, file), 'utf8')
    expect(test.length, `${file} ${test}`).toBeGreaterThan(2)
    expect(
      text.includes(`'${test}`),
      `docs/registry-conformance.md names "${test}" in ${file}, which has no such test`,
    ).toBe(true)
  }
  const endpoints = new Set(rows.flatMap((row) => row.endpoints.split(', ')))
  const expected = [
    '1',
    '2',
    '3',
    '4a',
    '4b',
    '4c',
    '5',
    '6',
    '7a',
    '7b',
    '8a',
    '8b',
    '9',
    '10',
    '11',
    '12a',
    '12b',
    '13',
    '14',
  ]
  for (const number of expected) expect([...endpoints]).toContain(`end-${number}`)
})

import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const script = join(import.meta.dirname, '../.ci/count.mjs')

test('counts of all phases are added, and a phase without a report counts as one', () => {
  const report = JSON.stringify({ numPassedTests: 5, numFailedTests: 0, numPendingTests: 2, numTodoTests: 0 })
  expect(count({ 'check.code': '0', 'tests.code': '0', 'tests.json': report })).toEqual({
    status: 0,
    lines: ['6 passed, 0 failed, 2 skipped'],
  })
})

test('a failed test and a failed phase both make the run fail', () => {
  const report = JSON.stringify({ numPassedTests: 5, numFailedTests: 1, numPendingTests: 0, numTodoTests: 0 })
  expect(count({ 'check.code': '1', 'tests.code': '1', 'tests.json': report })).toEqual({
    status: 1,
    lines: ['The phase "check" failed outside of any test.', '5 passed, 2 failed'],
  })
})

test('a phase that fails although its tests passed is a failure', () => {
  const report = JSON.stringify({ numPassedTests: 5, numFailedTests: 0, numPendingTests: 0, numTodoTests: 0 })
  expect(count({ 'tests.code': '124', 'tests.json': report }).lines.at(-1)).toBe('5 passed, 1 failed')
})

test('a run of nothing is a failure', () => {
  expect(count({})).toEqual({ status: 1, lines: ['0 passed, 0 failed'] })
})

function count(files: Record<string, string>): { status: number | null; lines: string[] } {
  const folder = mkdtempSync(join(tmpdir(), 'freehold-count-'))
  try {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
    const result = spawnSync(process.execPath, [script, folder], { encoding: 'utf8' })
    return { status: result.status, lines: result.stdout.trimEnd().split('\n') }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

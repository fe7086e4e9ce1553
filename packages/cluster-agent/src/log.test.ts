import { expect, test } from 'vitest'
import { createLog } from './log.ts'

test('a line is one JSON object, and what is less important than the level is left out', () => {
  const lines: string[] = []
  const log = createLog((line) => lines.push(line), { level: 'warn', now: () => 0 })
  log.info('not this')
  log.warn('this', { reason: 'two\nlines' })
  expect(lines).toEqual([
    '{"time":"1970-01-01T00:00:00.000Z","level":"warn","message":"this","reason":"two\\nlines"}\n',
  ])
})

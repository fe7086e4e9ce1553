import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createJobLog } from './jobs/log.ts'
import { createRedact } from './secret.ts'

test('no secret is left, however it is quoted and wherever a line is cut', () => {
  const secret = fc
    .string({ unit: 'grapheme-ascii', minLength: 6, maxLength: 30 })
    .filter((text) => !/^\[?redac/.test(text))
  fc.assert(
    fc.property(secret, fc.string({ maxLength: 20 }), fc.integer({ min: 0, max: 30 }), (value, around, cut) => {
      const redact = createRedact([value, undefined, 'abc'])
      for (const form of [value, JSON.stringify(value), encodeURIComponent(value)]) {
        expect(redact(around + form + around)).not.toContain(form)
      }
      const cutText = `# ${value.slice(0, Math.min(cut, value.length - 1))}`
      if (cut >= 4) expect(redact(cutText)).not.toContain(value.slice(0, Math.min(cut, value.length - 1)))
    }),
  )
})

test('a log keeps its first tenth and the newest, one line each, and counts what lies between', () => {
  const said: string[] = []
  const log = createJobLog(createRedact(['hidden-word']), (line) => said.push(line))
  for (let index = 0; index < 10_000; index += 1) log.add(`line ${index}`)
  log.add(`two\nlines\u2028of hidden-word${'x'.repeat(9000)}`)
  log.add('  ')
  const lines = log.lines()
  expect(lines).toHaveLength(2000)
  expect(lines.slice(0, 200)).toEqual(Array.from({ length: 200 }, (_, index) => `line ${index}`))
  expect(lines[200]).toBe('… 8002 lines are left out …')
  expect(lines[201]).toBe('line 8202')
  expect(lines.at(-1)).toMatch(/^two lines of \[redacted\]x+$/)
  expect(lines.at(-1)).toHaveLength(4000)
  expect(said).toHaveLength(10_001)
})

import { inspect } from 'node:util'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createLog } from './log.ts'
import { createRedactor, Secret } from './secret.ts'

test('a secret shows itself to nobody who does not ask for it by name', () => {
  const secret = new Secret('a-token-0123456789')
  const shown = [
    String(secret),
    `${secret}`,
    JSON.stringify({ secret }),
    inspect({ secret }),
    Object.keys(secret).join(),
  ]
  for (const text of shown) expect(text).not.toContain('a-token')
  expect(secret.reveal()).toBe('a-token-0123456789')
})

test('nothing of a remembered secret is left in a text, also where one is a part of another, quoted or in an address', () => {
  const value = fc.string({ minLength: 8, maxLength: 40 })
  fc.assert(
    fc.property(value, fc.nat({ max: 30 }), fc.boolean(), (long, cut, isLongFirst) => {
      const short = long.slice(0, Math.max(4, long.length - cut))
      const redactor = createRedactor()
      for (const each of isLongFirst ? [long, short] : [short, long]) redactor.remember(new Secret(each))
      for (const form of [long, encodeURIComponent(long), JSON.stringify(long).slice(1, -1)]) {
        expect(redactor.clean(`\n${form}\n`)).toBe('\n[redacted]\n')
      }
    }),
  )
})

test('a line of the log is cleaned before it is cut', () => {
  const lines: string[] = []
  const redactor = createRedactor()
  redactor.remember(new Secret('a-token-0123456789'))
  const log = createLog({ write: (line) => void lines.push(line), redactor })
  for (let length = 3_850; length < 4_000; length += 1) log.error(`${'x'.repeat(length)}a-token-0123456789`)
  for (const line of lines) expect(line).not.toContain('a-tok')
})

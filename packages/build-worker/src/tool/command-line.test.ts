import fc from 'fast-check'
import { expect, test } from 'vitest'
import { splitCommand } from './command-line.ts'

test.each([
  ['isocreator', ['isocreator']],
  ['deno run --allow-all ../isocreator/mod.ts', ['deno', 'run', '--allow-all', '../isocreator/mod.ts']],
  ['  a   b\t c ', ['a', 'b', 'c']],
  [`"/opt/my tool/run" 'a b' "say \\"so\\" \\\\" x'y'"z"`, ['/opt/my tool/run', 'a b', 'say "so" \\', 'xyz']],
  [`a '' "" $HOME;ls|cat \\n`, ['a', '', '', '$HOME;ls|cat', '\\n']],
])('%s is split into words, and no character means more', (text, words) => {
  expect(splitCommand(text)).toEqual(words)
})

test.each(['', '   ', '"open', "it's", "''", 'a\0b'])('%j is refused', (text) => {
  expect(() => splitCommand(text)).toThrow(/quote|names no program|not closed/)
})

test('words that are quoted come back as they were', () => {
  const word = fc.string({ unit: 'binary-ascii', maxLength: 20 }).filter((text) => !text.includes('\0'))
  const quote = (text: string) => `"${text.replace(/["\\]/g, (character) => `\\${character}`)}"`
  fc.assert(
    fc.property(fc.array(word, { minLength: 1, maxLength: 5 }), (words) => {
      if (words[0] === '') return
      expect(splitCommand(words.map(quote).join(' '))).toEqual(words)
    }),
  )
})

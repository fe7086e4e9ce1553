import { FreeholdError } from '@freehold/contracts'

/**
 * Splits a command into its words, without a shell: spaces part them; `'…'` and `"…"` keep spaces, within the latter `\"` and
 * `\\` stand for the character. Nothing else means anything. Throws `invalid-input` where a quote is left open or
 * there is no word.
 */
export function splitCommand(text: string): string[] {
  const words: string[] = []
  let word: string | undefined
  let quote = ''
  for (let index = 0; index < text.length; index += 1) {
    const character = text[index] ?? ''
    if (quote === '"' && character === '\\' && /["\\]/.test(text[index + 1] ?? '')) {
      index += 1
      word = (word ?? '') + (text[index] ?? '')
    } else if (quote !== '') {
      if (character === quote) quote = ''
      else word = (word ?? '') + character
    } else if (character === '"' || character === "'") {
      quote = character
      word ??= ''
    } else if (/\s/.test(character)) {
      if (word !== undefined) words.push(word)
      word = undefined
    } else {
      word = (word ?? '') + character
    }
  }
  if (quote !== '') throw new FreeholdError('invalid-input', `The command has a ${quote} that is not closed.`)
  if (word !== undefined) words.push(word)
  if (words[0] === undefined || words[0] === '' || text.includes('\0')) {
    throw new FreeholdError('invalid-input', 'The command names no program.')
  }
  return words
}

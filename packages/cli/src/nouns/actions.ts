import { joinTokenKind } from '@freehold/contracts'
import type { AnyResource } from '../api.ts'
import { plain } from '../output/text.ts'
import { nameOf } from './lookup.ts'
import type { Noun } from './noun.ts'

/** What came of an action, as a sentence: how the thing stands now, by what was answered. */
export function toldOf(result: AnyResource, noun: Noun, verb: string): string {
  const { data, status } = result
  const what = `${noun.singular.replaceAll('-', ' ')} ${plain(nameOf(result))}`
  const own = ownWords[`${noun.plural} ${verb}`]?.(result, what)
  if (own !== undefined) return own
  const state = status.state ?? status.phase
  if (typeof state === 'string') {
    const message = typeof status.message === 'string' ? plain(status.message) : ''
    return `The ${what} is ${state.replaceAll('-', ' ')} now${message === '' ? '.' : `: ${message}`}`
  }
  return data.revoked === true ? `The ${what} is revoked now.` : `Done: ${verb} ${what}.`
}

const ownWords: Record<string, (result: AnyResource, what: string) => string> = {
  'devices readopt': ({ data }, what) =>
    `The ${what} may register anew, once, until ${String(data.readoptUntil)}; its earlier tokens end then.`,
  'devices acknowledge': ({ status }, what) =>
    `The ${what} has no mark of a claim or a copy any more; it is ${String(status.state)}.`,
  'join-tokens revoke': (result, what) => {
    const { used } = joinTokenKind.status.parse(result.status)
    const stay = used === 0 ? 'None ever did' : used === 1 ? 'The one that did stays' : `The ${used} that did stay`
    return `No device enrols with the ${what} any more. ${stay}.`
  },
}

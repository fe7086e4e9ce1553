import type { Command, Option } from 'commander'
import type { Api } from '../api.ts'
import { listAll, nameOf } from '../nouns/lookup.ts'
import { listNouns, type Noun } from '../nouns/noun.ts'

const mostNames = 200

/**
 * What may stand at the last of these words and begins as it does: commands, flags, choices of a flag, or names the
 * server knows. A server that cannot be asked gives none: a shell waits for this.
 */
export async function candidates(
  program: Command,
  words: readonly string[],
  open: (contextName: string | undefined) => Promise<Api>,
): Promise<string[]> {
  const current = words.at(-1) ?? ''
  const place = walk(program, words.slice(0, -1))
  const fitting = (texts: readonly string[]) => texts.filter((text) => text.startsWith(current))
  const names = async (noun: Noun | undefined) =>
    noun === undefined ? [] : namesOf(noun, { prefix: current, open: () => open(place.contextName) })
  if (place.pending !== undefined) {
    return place.pending.argChoices === undefined ? names(nounOfFlag(place.pending)) : fitting(place.pending.argChoices)
  }
  if (current.startsWith('-')) return fitting(flagsOf(place.command))
  const commands = place.command.commands.filter((command) => !isHidden(command)).map((command) => command.name())
  if (commands.length > 0) return fitting(commands)
  const argument = place.command.registeredArguments[place.operands] ?? place.command.registeredArguments.at(-1)
  const takesMore = place.operands < place.command.registeredArguments.length || argument?.variadic === true
  return takesMore ? names(nounNamed(argument?.name() ?? '')) : []
}

interface Place {
  command: Command
  /** Operands already given to it. */
  operands: number
  /** A flag whose value comes next. */
  pending: Option | undefined
  contextName: string | undefined
}

function walk(program: Command, words: readonly string[]): Place {
  const place: Place = { command: program, operands: 0, pending: undefined, contextName: undefined }
  for (const word of words) {
    if (place.pending !== undefined) {
      if (place.pending.long === '--context') place.contextName = word
      place.pending = undefined
    } else if (word.startsWith('-')) {
      const option = optionsOf(place.command).find((each) => each.long === word || each.short === word)
      if (option?.required === true) place.pending = option
    } else {
      const child = place.command.commands.find((each) => each.name() === word || each.aliases().includes(word))
      if (child === undefined) place.operands += 1
      else place.command = child
    }
  }
  return place
}

function optionsOf(command: Command): Option[] {
  const own = command.options.filter((option) => !option.hidden)
  return command.parent === null ? own : [...own, ...optionsOf(command.parent)]
}

function flagsOf(command: Command): string[] {
  return [...optionsOf(command).flatMap((option) => (option.long == null ? [] : [option.long])), '--help']
}

function isHidden(command: Command): boolean {
  return command.name().startsWith('_')
}

function nounOfFlag(option: Option): Noun | undefined {
  return option.flags.includes('<name|id>') ? nounNamed(option.name()) : undefined
}

/** Operands are called after what they name: `<service>`, `[service|id]`. */
function nounNamed(name: string): Noun | undefined {
  const singular = name.split('|')[0]
  return listNouns().find((noun) => noun.singular === singular)
}

async function namesOf(noun: Noun, input: { prefix: string; open: () => Promise<Api> }): Promise<string[]> {
  const found: string[] = []
  try {
    const api = await input.open()
    for await (const resource of listAll(api, noun)) {
      const name = noun.plural === 'rollouts' || noun.plural === 'revisions' ? resource.id : nameOf(resource)
      if (name.startsWith(input.prefix)) found.push(name)
      if (found.length === mostNames) break
    }
  } catch {
    // Not signed in, not reachable, too slow: a shell in the middle of a line cannot be told, and needs no names.
    return found
  }
  return found
}

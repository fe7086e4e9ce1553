import type { NodeFacts, Report, Task } from '@freehold/contracts'
import type { Link } from './link.ts'

/**
 * Looks: what a link said last may be long over when the network swallows its frames, and nothing says so for half a
 * minute. So an agent is asked to look again, and only its answer proves that what it says was so after it was asked.
 */

/** While a rollout is under way its agents are asked this often. */
const intervalMs = 250
/** Unanswered looks that are remembered of a link; older ones were lost. */
const unansweredLimit = 16

/** One live link and the last thing heard on it. */
export interface LiveLink {
  link: Link
  facts: NodeFacts
  report: Report | null
  /** Looks that were asked for and not answered yet: when, by id. */
  looks: Map<string, number>
  /** The moment after which its last report was made for certain; null before it answered a look. */
  provenAt: number | null
  lookCount: number
  /** What it was told last; 0 before anything. */
  toldGeneration: number
  toldAt: number
}

/** A link on which nothing was heard yet. */
export function newLink(link: Link): LiveLink {
  const nothingAsked = { looks: new Map<string, number>(), lookCount: 0, provenAt: null }
  return { link, facts: link.facts, report: null, ...nothingAsked, toldGeneration: 0, toldAt: 0 }
}

/**
 * The moment up to which everything known of these containers is proved: the Swarm's leader and each of their machines
 * that is linked have answered a look asked for then. Null: not proved at all. Asks again where that was a while ago.
 */
export function provenAt(
  links: Iterable<LiveLink>,
  options: { leader: Readonly<LiveLink> | undefined; tasks: readonly Task[]; now: number },
): number | null {
  const running = options.tasks.filter(({ state }) => state === 'running')
  const machines = new Set(running.map(({ swarmNodeId }) => swarmNodeId))
  const concerned = [...links].filter(
    (live) => live.link === options.leader?.link || machines.has(live.facts.swarmNodeId),
  )
  for (const live of concerned) ask(live, options.now)
  const moments = concerned.map((live) => live.provenAt)
  const proven = moments.filter((at) => at !== null)
  return proven.length === 0 || proven.length < moments.length ? null : Math.min(...proven)
}

/** Takes note of a report that answers a look. */
export function noteAnswer(live: LiveLink, look: string): void {
  const askedAt = live.looks.get(look)
  if (askedAt === undefined) return
  live.looks.delete(look)
  live.provenAt = Math.max(live.provenAt ?? askedAt, askedAt)
}

function ask(live: LiveLink, now: number): void {
  const askedAt = [...live.looks.values()].at(-1) ?? live.provenAt
  if (askedAt !== null && now - askedAt < intervalMs) return
  live.lookCount += 1
  const id = String(live.lookCount)
  live.looks.set(id, now)
  for (const lost of [...live.looks.keys()].slice(0, -unansweredLimit)) live.looks.delete(lost)
  live.link.send({ type: 'look', id })
}

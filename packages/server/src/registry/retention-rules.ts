import type { Retention, RetentionStep } from '@freehold/contracts'
import { closureOf, deletionGroups, type ManifestState, type RepositoryState, subjectsOf } from './retention-graph.ts'

export const dayMs = 24 * 60 * 60 * 1000

/** What retention does with one repository. */
export interface RetentionPlan {
  /** Tags to be removed, each by itself. */
  tags: RetentionStep[]
  /** Manifests to be removed, each group with what belongs to it; a group goes as a whole, in its order. */
  groups: RetentionStep[][]
  kept: RetentionStep[]
}

type Verdict = Pick<RetentionStep, 'action' | 'rule' | 'reason'>
type TagState = RepositoryState['tags'][number]
type Judge = (tag: TagState) => Verdict | undefined

/**
 * Decides what of a repository stays and what goes. What always holds, whatever the rules say:
 *
 * - A tag goes only where there are keeping rules and none of them keeps it.
 * - Nothing goes that a service or a release needs (`needed`), that such a manifest consists of, or that was said of it: children of
 *   an index, referrers, and what cosign's tags name.
 * - A manifest goes only where untagged ones may go, and neither a tag that stays nor an index that stays names it.
 *   It goes at the earliest so many days after it was pushed, and after the last tag on it went.
 * - Referrers and cosign's tags stay and go with the manifest they belong to; no keeping rule looks at them.
 * - Planning again after the plan was carried out, at the same time, removes nothing more.
 */
export function planRetention(state: RepositoryState, retention: Retention | null, nowMs: number): RetentionPlan {
  const manifests = new Map(state.manifests.map((manifest) => [manifest.digest, manifest]))
  const attached = new Map(state.tags.map((tag) => [tag, subjectsOf(tag.name, manifests)]))
  const ordinary = state.tags.filter((tag) => attached.get(tag) === undefined)
  const inUse = closureOf(state, manifests, { roots: state.needed.keys() })

  const judge = tagJudge(state, { retention: retention ?? {}, ordinary, inUse, nowMs })
  const verdicts = new Map<TagState, Verdict>(ordinary.map((tag) => [tag, judge(tag)]))
  const staying = ordinary.filter((tag) => verdicts.get(tag)?.action === 'keep')

  const untagged = untaggedJudge(state, { retention: retention ?? {}, ordinary, nowMs, manifests })
  const orphanStays = (tag: TagState) => untagged(tag.pushedAt)?.action !== 'delete'
  const roots = new Map<string, Verdict>()
  const root = (digest: string, verdict: Verdict) => roots.has(digest) || roots.set(digest, verdict)
  for (const [digest, reason] of state.needed) root(digest, keep('in-use', reason))
  for (const tag of staying) root(tag.digest, keep('tagged', `the tag ${tag.name} names it`))
  for (const [tag, subjects] of attached) {
    if (subjects?.length === 0 && orphanStays(tag)) root(tag.digest, keep('tagged', `the tag ${tag.name} names it`))
  }
  for (const manifest of state.manifests) {
    const verdict = untagged(manifest)
    if (verdict?.action === 'keep') root(manifest.digest, verdict)
  }
  const stays = closureOf(state, manifests, { roots: roots.keys() })

  for (const [tag, subjects] of attached) {
    if (subjects === undefined) continue
    verdicts.set(tag, attachedVerdict(tag, { subjects, stays, inUse, orphanStays }))
  }
  const manifestVerdict = ({ digest }: ManifestState): Verdict => {
    if (inUse.has(digest)) return keep('in-use', state.needed.get(digest) ?? `needed with ${inUse.get(digest)}`)
    const asRoot = roots.get(digest)
    if (asRoot !== undefined) return asRoot
    const because = stays.get(digest)
    if (because !== undefined) return keep('follows', `it belongs to ${because}, which stays`)
    return remove('untagged-old', `nothing has needed it for ${days(retention?.deleteUntaggedAfterDays ?? 0)}`)
  }
  return arrange(state, {
    tags: verdicts,
    manifests: new Map(state.manifests.map((manifest) => [manifest, manifestVerdict(manifest)])),
  })
}

/** One sentence about the keeping rules, for people: "the last 5, v*, younger than 30 days". */
export function describeKeeping(retention: Retention): string {
  return [
    ...(retention.keepLastTags === undefined ? [] : [`the last ${retention.keepLastTags}`]),
    ...(retention.keepTags ?? []),
    ...(retention.keepYoungerThanDays === undefined ? [] : [`younger than ${days(retention.keepYoungerThanDays)}`]),
  ].join(', ')
}

/**
 * True where the whole text fits the pattern: `*` stands for any text, also none, `?` for any one character, everything
 * else for itself. Takes time proportional to the product of the lengths at worst.
 */
export function fitsPattern(text: string, pattern: string): boolean {
  let [at, star, mark] = [0, -1, 0]
  let index = 0
  while (index < text.length) {
    if (pattern[at] === '*') {
      star = at
      mark = index
      at += 1
    } else if (at < pattern.length && (pattern[at] === '?' || pattern[at] === text[index])) {
      at += 1
      index += 1
    } else if (star >= 0) {
      mark += 1
      index = mark
      at = star + 1
    } else return false
  }
  return /^\**$/.test(pattern.slice(at))
}

const keep = (rule: RetentionStep['rule'], reason: string): Verdict => ({ action: 'keep', rule, reason })
const remove = (rule: RetentionStep['rule'], reason: string): Verdict => ({ action: 'delete', rule, reason })
const days = (count: number): string => (count === 1 ? '1 day' : `${count} days`)

/** What the keeping rules say of a tag; the first that keeps it is named. */
function tagJudge(
  { namedTags, needed }: RepositoryState,
  about: { retention: Retention; ordinary: readonly TagState[]; inUse: ReadonlyMap<string, string>; nowMs: number },
): (tag: TagState) => Verdict {
  const { retention, ordinary, inUse, nowMs } = about
  const { keepLastTags, keepTags = [], keepYoungerThanDays } = retention
  const newest = new Set(ordinary.toSorted(byPush).slice(0, keepLastTags ?? 0))
  const rules: Judge[] = [
    ({ digest }) =>
      inUse.has(digest)
        ? keep('in-use', needed.get(digest) ?? 'it belongs to what a service or release needs')
        : undefined,
    ({ name }) => {
      const service = namedTags.get(name)
      return service === undefined ? undefined : keep('named-by-service', service)
    },
    (tag) => (newest.has(tag) ? keep('keep-last', `it is among the last ${keepLastTags} pushed`) : undefined),
    ({ name }) => {
      const pattern = keepTags.find((each) => fitsPattern(name, each))
      return pattern === undefined ? undefined : keep('keep-tags', `it fits ${pattern}`)
    },
    ({ pushedAt }) =>
      keepYoungerThanDays !== undefined && nowMs - Date.parse(pushedAt) < keepYoungerThanDays * dayMs
        ? keep('keep-younger', `it was pushed within ${days(keepYoungerThanDays)}`)
        : undefined,
    () => (describeKeeping(retention) === '' ? keep('no-rule', 'no rule says which tags to keep') : undefined),
  ]
  const otherwise = remove('not-kept', `no rule keeps it (${describeKeeping(retention)})`)
  return (tag) => {
    for (const rule of rules) {
      const verdict = rule(tag)
      if (verdict !== undefined) return verdict
    }
    return otherwise
  }
}

/** What age alone says of a manifest or a time; undefined for what follows another manifest of the repository. */
function untaggedJudge(
  { tags }: RepositoryState,
  about: {
    retention: Retention
    ordinary: readonly TagState[]
    nowMs: number
    manifests: ReadonlyMap<string, ManifestState>
  },
): (manifest: ManifestState | string) => Verdict | undefined {
  const { retention, ordinary, nowMs, manifests } = about
  const limit = retention.deleteUntaggedAfterDays
  const tagged = new Set(ordinary.map((tag) => tag.digest))
  const isOrdinary = new Set(ordinary)
  const attached = new Set(tags.filter((tag) => !isOrdinary.has(tag)).map((tag) => tag.digest))
  return (manifest) => {
    if (limit === undefined) return keep('untagged-young', 'no rule removes untagged manifests')
    if (typeof manifest === 'string') {
      return nowMs - Date.parse(manifest) < limit * dayMs
        ? keep('untagged-young', `younger than ${days(limit)}`)
        : remove('untagged-old', '')
    }
    const young = keep('untagged-young', `untagged for less than ${days(limit)}`)
    const isYoung = (at: string) => nowMs - Date.parse(at) < limit * dayMs
    if (tagged.has(manifest.digest)) return young
    if (manifest.untaggedAt !== undefined && isYoung(manifest.untaggedAt)) return young
    if (manifest.subject !== null && manifests.has(manifest.subject)) return undefined
    if (attached.has(manifest.digest)) return undefined
    return isYoung(manifest.pushedAt) ? young : remove('untagged-old', '')
  }
}

function attachedVerdict(
  tag: TagState,
  about: {
    subjects: readonly string[]
    stays: ReadonlyMap<string, string>
    inUse: ReadonlyMap<string, string>
    orphanStays: (tag: TagState) => boolean
  },
): Verdict {
  const { subjects, stays, inUse, orphanStays } = about
  if (inUse.has(tag.digest)) return keep('in-use', 'it belongs to what a service or release needs')
  const [subject] = subjects
  if (subject === undefined) {
    return orphanStays(tag)
      ? keep('untagged-young', 'what it belongs to is not here, but it may be gone only briefly')
      : remove('untagged-old', 'what it belongs to is not here any more')
  }
  const staying = subjects.find((digest) => stays.has(digest))
  return staying === undefined
    ? remove('follows', `it belongs to ${subject}, which goes`)
    : keep('follows', `it belongs to ${staying}, which stays`)
}

function arrange(
  state: RepositoryState,
  verdicts: { tags: ReadonlyMap<TagState, Verdict>; manifests: ReadonlyMap<ManifestState, Verdict> },
): RetentionPlan {
  const tagSteps = [...verdicts.tags].map(
    ([{ name, digest, pushedAt }, verdict]): RetentionStep => ({
      kind: 'tag',
      tag: name,
      digest,
      pushedAt,
      sizeBytes: 0,
      ...verdict,
    }),
  )
  const manifestSteps = [...verdicts.manifests].map(
    ([{ digest, pushedAt, sizeBytes }, verdict]): RetentionStep => ({
      kind: 'manifest',
      tag: null,
      digest,
      pushedAt,
      sizeBytes,
      ...verdict,
    }),
  )
  const goes = (step: RetentionStep) => step.action === 'delete'
  const byItself = (step: RetentionStep) => step.rule === 'not-kept'
  return {
    tags: tagSteps.filter((step) => goes(step) && byItself(step)).toSorted((one, other) => byPush(other, one)),
    groups: deletionGroups(
      state,
      tagSteps.filter((step) => goes(step) && !byItself(step)),
      manifestSteps.filter(goes),
    ),
    kept: [...tagSteps, ...manifestSteps].filter((step) => !goes(step)).toSorted(byPush),
  }
}

/** The newest push first; of equal ones the name decides, so that the order is always the same. */
function byPush(
  one: { pushedAt: string; name?: string; tag?: string | null; digest: string },
  other: { pushedAt: string; name?: string; tag?: string | null; digest: string },
): number {
  const apartMs = Date.parse(other.pushedAt) - Date.parse(one.pushedAt)
  if (apartMs !== 0) return apartMs
  const [left, right] = [one, other].map((each) => each.name ?? each.tag ?? each.digest)
  return (left ?? '') < (right ?? '') ? -1 : 1
}

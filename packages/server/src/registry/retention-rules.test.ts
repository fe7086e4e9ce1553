import type { Retention } from '@freehold/contracts'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ManifestState, RepositoryState } from './retention-graph.ts'
import { dayMs, fitsPattern, planRetention, type RetentionPlan } from './retention-rules.ts'

const nowMs = Date.parse('2030-06-01T00:00:00Z')
const daysAgo = (days: number) => new Date(nowMs - days * dayMs).toISOString()
const digest = (number: number) => `sha256:${number.toString(16).padStart(64, '0')}`
const signatureTag = (number: number) => `${digest(number).replace(':', '-')}.sig`

function manifest(number: number, extra: Partial<ManifestState> = {}): ManifestState {
  return {
    digest: digest(number),
    pushedAt: daysAgo(100),
    untaggedAt: undefined,
    children: [],
    subject: null,
    sizeBytes: 100,
    blobs: [],
    ...extra,
  }
}
const tag = (name: string, number: number, age = 100) => ({ name, digest: digest(number), pushedAt: daysAgo(age) })
function state(parts: Partial<RepositoryState>): RepositoryState {
  return { tags: [], manifests: [], needed: new Map(), namedTags: new Map(), ...parts }
}

const goingTags = (plan: RetentionPlan) =>
  [...plan.tags, ...plan.groups.flat()].flatMap((step) => (step.tag === null ? [] : [step.tag])).toSorted()
const goingManifests = (plan: RetentionPlan) =>
  plan.groups.flat().flatMap((step) => (step.kind === 'manifest' ? [step.digest] : []))

/** The repository after the plan was carried out. */
function carriedOut(before: RepositoryState, plan: RetentionPlan): RepositoryState {
  const gone = { tags: new Set(goingTags(plan)), manifests: new Set(goingManifests(plan)) }
  const tags = before.tags.filter(({ name }) => !gone.tags.has(name))
  const lost = new Set(before.tags.filter(({ name }) => gone.tags.has(name)).map((each) => each.digest))
  const manifests = before.manifests
    .filter((each) => !gone.manifests.has(each.digest))
    .map((each) => (lost.has(each.digest) ? { ...each, untaggedAt: daysAgo(0) } : each))
  return { ...before, tags, manifests }
}

describe('a keeping rule', () => {
  const four = state({
    manifests: [1, 2, 3, 4].map((number) => manifest(number)),
    tags: [tag('v1', 1, 40), tag('v2', 2, 30), tag('pr-7', 3, 20), tag('pr-8', 4, 10)],
  })
  it.each([
    ['none', {}, []],
    ['the last two', { keepLastTags: 2 }, ['v1', 'v2']],
    ['a pattern', { keepTags: ['v*'] }, ['pr-7', 'pr-8']],
    ['an age', { keepYoungerThanDays: 25 }, ['v1', 'v2']],
    ['any of several', { keepLastTags: 1, keepTags: ['v1'], keepYoungerThanDays: 25 }, ['v2']],
    ['only how long untagged manifests stay', { deleteUntaggedAfterDays: 1 }, []],
  ] as [string, Retention, string[]][])('%s', (_, retention, expected) => {
    expect(goingTags(planRetention(four, retention, nowMs))).toEqual(expected)
  })

  it('and no rules at all remove nothing', () => {
    expect(planRetention(four, null, nowMs)).toMatchObject({ tags: [], groups: [] })
  })

  it('says why, for people', () => {
    const plan = planRetention(four, { keepLastTags: 1, keepTags: ['v1'] }, nowMs)
    expect(plan.tags.map((step) => [step.tag, step.reason])).toEqual([
      ['v2', 'no rule keeps it (the last 1, v1)'],
      ['pr-7', 'no rule keeps it (the last 1, v1)'],
    ])
    expect(plan.kept.filter((step) => step.kind === 'tag').map((step) => [step.tag, step.rule])).toEqual([
      ['pr-8', 'keep-last'],
      ['v1', 'keep-tags'],
    ])
  })

  it('does not count signatures among the last pushed', () => {
    const signed = state({
      manifests: [1, 2, 11, 12].map((number) => manifest(number)),
      tags: [tag('v1', 1, 40), tag('v2', 2, 30), tag(signatureTag(1), 11, 39), tag(signatureTag(2), 12, 29)],
    })
    expect(goingTags(planRetention(signed, { keepLastTags: 2 }, nowMs))).toEqual([])
  })
})

describe('untagged manifests', () => {
  const retention: Retention = { keepLastTags: 1, deleteUntaggedAfterDays: 7 }

  it('stay without a rule about them, and else for so many days after they were pushed and lost their tag', () => {
    const repository = state({
      manifests: [
        manifest(1),
        manifest(2, { pushedAt: daysAgo(6) }),
        manifest(3, { untaggedAt: daysAgo(6) }),
        manifest(4, { untaggedAt: daysAgo(8) }),
      ],
    })
    expect(goingManifests(planRetention(repository, { keepLastTags: 1 }, nowMs))).toEqual([])
    expect(goingManifests(planRetention(repository, retention, nowMs)).toSorted()).toEqual([digest(1), digest(4)])
  })

  it('that lose their tag with this plan stay for now', () => {
    const repository = state({ manifests: [manifest(1), manifest(2)], tags: [tag('old', 1, 50), tag('new', 2, 1)] })
    const plan = planRetention(repository, retention, nowMs)
    expect([goingTags(plan), goingManifests(plan)]).toEqual([['old'], []])
  })

  it('go with an index before its children, and with signatures, whose tags go in the same group', () => {
    const repository = state({
      manifests: [
        manifest(2),
        manifest(1, { children: [digest(2), digest(3)] }),
        manifest(3),
        manifest(11),
        manifest(12, { subject: digest(2) }),
      ],
      tags: [tag(signatureTag(1), 11)],
    })
    const plan = planRetention(repository, retention, nowMs)
    expect(plan.tags).toEqual([])
    expect(plan.groups).toHaveLength(1)
    const order = goingManifests(plan)
    expect(order).toHaveLength(5)
    for (const [first, then] of [
      [1, 2],
      [1, 3],
      [12, 2],
    ] as const) {
      expect(order.indexOf(digest(first))).toBeLessThan(order.indexOf(digest(then)))
    }
    expect(goingTags(plan)).toEqual([signatureTag(1)])
  })

  it('stay while their index stays, as do signatures of what stays', () => {
    const repository = state({
      manifests: [
        manifest(1, { children: [digest(2)] }),
        manifest(2),
        manifest(11),
        manifest(12, { subject: digest(2) }),
        manifest(13, { subject: digest(1) }),
      ],
      tags: [tag('v1', 1), tag(signatureTag(2), 11)],
    })
    expect(planRetention(repository, retention, nowMs)).toMatchObject({ tags: [], groups: [] })
  })

  it('that were signed by a tag alone go once that is old and what it belongs to is not here', () => {
    const repository = state({
      manifests: [manifest(11), manifest(12)],
      tags: [tag(signatureTag(1), 11, 50), tag(signatureTag(2), 12, 5)],
    })
    expect(goingTags(planRetention(repository, retention, nowMs))).toEqual([signatureTag(1)])
    expect(goingTags(planRetention(repository, { keepLastTags: 1 }, nowMs))).toEqual([])
  })

  it('are found by a referrers tag of sha512 that is cut short', () => {
    const long = `sha512:${'ab'.repeat(64)}`
    const repository = state({
      manifests: [manifest(1, { digest: long }), manifest(2)],
      tags: [{ name: 'v1', digest: long, pushedAt: daysAgo(1) }, tag(`sha512-${'ab'.repeat(32)}`, 2)],
    })
    expect(planRetention(repository, retention, nowMs)).toMatchObject({ tags: [], groups: [] })
  })
})

describe('whatever the repository and the rules,', () => {
  const size = 14
  const number = fc.integer({ min: 0, max: size - 1 })
  const age = fc.integer({ min: 0, max: 60 })
  /** A manifest names only those with a lower number, as real digests allow. */
  const manifests = fc
    .array(
      fc.record({
        age,
        untagged: fc.option(age),
        children: fc.uniqueArray(number, { maxLength: 3 }),
        subject: fc.option(number),
      }),
      { minLength: size, maxLength: size },
    )
    .chain((all) => fc.subarray(all.map((each, index) => ({ ...each, index }))))
    .map((all) => {
      const here = new Set(all.map(({ index }) => index))
      return all.map(({ index, age: pushed, untagged, children, subject }) =>
        manifest(index, {
          pushedAt: daysAgo(pushed),
          untaggedAt: untagged === null ? undefined : daysAgo(untagged),
          children: children.filter((child) => child < index && here.has(child)).map(digest),
          subject: subject !== null && subject < index ? digest(subject) : null,
        }),
      )
    })
  const states = manifests.chain((all) => {
    const here = all.length === 0 ? fc.constant(undefined) : fc.constantFrom(...all.map((each) => each.digest))
    const name = fc.oneof(fc.constantFrom('a', 'b', 'ab', 'v1', 'v2', 'latest'), number.map(signatureTag))
    const tags = fc
      .uniqueArray(fc.record({ name, target: here, age }), { selector: (each) => each.name, maxLength: 8 })
      .map((each) =>
        each.flatMap(({ name: tagName, target, age: pushed }) =>
          target === undefined ? [] : [{ name: tagName, digest: target, pushedAt: daysAgo(pushed) }],
        ),
      )
    return fc
      .record({ tags, needed: fc.array(here, { maxLength: 2 }), named: fc.option(fc.constantFrom('a', 'latest')) })
      .map(({ tags: made, needed, named }) =>
        state({
          manifests: all,
          tags: made,
          needed: new Map(needed.flatMap((each) => (each === undefined ? [] : [[each, 'a service runs it']]))),
          namedTags: new Map(named === null ? [] : [[named, 'a service names it']]),
        }),
      )
  })
  const part = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined })
  const retentions = fc
    .record({
      keepLastTags: part(fc.integer({ min: 1, max: 4 })),
      keepTags: part(fc.array(fc.constantFrom('v*', '?', 'latest', '*b'), { maxLength: 2 })),
      keepYoungerThanDays: part(fc.integer({ min: 1, max: 40 })),
      deleteUntaggedAfterDays: part(fc.integer({ min: 1, max: 40 })),
    })
    .map((all) => Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as Retention)
  const holds = (check: (repository: RepositoryState, retention: Retention, plan: RetentionPlan) => void) =>
    fc.assert(
      fc.property(states, retentions, (repository, retention) =>
        check(repository, retention, planRetention(repository, retention, nowMs)),
      ),
      { numRuns: 1500 },
    )
  const signed = (name: string) => /^sha256-([0-9a-f]{64})\.sig$/.exec(name)?.[1]

  it('nothing goes that a service needs, nor a part of it, nor what was said of it', () => {
    holds((repository, _, plan) => {
      const gone = { manifests: new Set(goingManifests(plan)), tags: new Set(goingTags(plan)) }
      const here = new Map(repository.manifests.map((each) => [each.digest, each]))
      const walk = (name: string, seen: Set<string>) => {
        const found = here.get(name)
        if (found === undefined || seen.has(name)) return
        seen.add(name)
        expect(gone.manifests).not.toContain(name)
        for (const child of found.children) walk(child, seen)
        for (const other of repository.manifests) if (other.subject === name) walk(other.digest, seen)
        for (const each of repository.tags) {
          if (`sha256:${signed(each.name)}` !== name) continue
          expect(gone.tags).not.toContain(each.name)
          walk(each.digest, seen)
        }
      }
      const seen = new Set<string>()
      for (const name of repository.needed.keys()) walk(name, seen)
      for (const name of repository.namedTags.keys()) expect(gone.tags).not.toContain(name)
    })
  })

  it('what any rule keeps stays, and no tag goes that has none against it', () => {
    holds((repository, retention, plan) => {
      const gone = new Set(goingTags(plan))
      const ordinary = repository.tags.filter(({ name }) => signed(name) === undefined)
      const isNewer = (one: { pushedAt: string; name: string }, other: { pushedAt: string; name: string }) =>
        one.pushedAt > other.pushedAt || (one.pushedAt === other.pushedAt && one.name < other.name)
      for (const each of ordinary) {
        const newer = ordinary.filter((other) => isNewer(other, each)).length
        const globs = (retention.keepTags ?? []).map(asExpression)
        const kept =
          newer < (retention.keepLastTags ?? 0) ||
          globs.some((glob) => glob.test(each.name)) ||
          nowMs - Date.parse(each.pushedAt) < (retention.keepYoungerThanDays ?? 0) * dayMs
        const hasRules =
          retention.keepLastTags !== undefined || globs.length > 0 || retention.keepYoungerThanDays !== undefined
        if (kept || !hasRules) expect(gone).not.toContain(each.name)
      }
    })
  })

  it('a second pass at once removes nothing more', () => {
    holds((repository, retention, plan) => {
      const again = planRetention(carriedOut(repository, plan), retention, nowMs)
      expect([goingTags(again), goingManifests(again)]).toEqual([[], []])
    })
  })

  it('what stays is whole after every group: no tag without its manifest, no index without a child', () => {
    holds((repository, _, plan) => {
      let current = carriedOut(repository, { ...plan, groups: [] })
      for (const group of plan.groups) {
        current = carriedOut(current, { tags: [], groups: [group], kept: [] })
        const here = new Set(current.manifests.map((each) => each.digest))
        for (const each of current.tags) expect(here).toContain(each.digest)
        for (const each of current.manifests) for (const child of each.children) expect(here).toContain(child)
      }
    })
  })

  it('every tag and every manifest is spoken of exactly once', () => {
    holds((repository, _, plan) => {
      const steps = [...plan.tags, ...plan.groups.flat(), ...plan.kept]
      const named = steps.map((step) => step.tag ?? step.digest).toSorted()
      const all = [...repository.tags.map(({ name }) => name), ...repository.manifests.map((each) => each.digest)]
      expect(named).toEqual(all.toSorted())
      expect(steps.every((step) => step.reason !== '')).toBe(true)
    })
  })
})

/** The same pattern as a regular expression, to compare with. */
function asExpression(pattern: string): RegExp {
  const escaped = pattern
    .replace(/[.+^${}()|[\]\\-]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.')
  return new RegExp(`^${escaped}$`, 's')
}

it('patterns fit what the same regular expression fits', () => {
  const letters = fc.string({ unit: fc.constantFrom('a', 'b', '.', '-'), maxLength: 8 })
  const patterns = fc.string({ unit: fc.constantFrom('a', 'b', '.', '*', '?'), maxLength: 6 })
  fc.assert(
    fc.property(letters, patterns, (text, pattern) => {
      expect(fitsPattern(text, pattern)).toBe(asExpression(pattern).test(text))
    }),
    { numRuns: 3000 },
  )
  expect(fitsPattern(`${'a'.repeat(128)}`, `${'*a'.repeat(60)}b`)).toBe(false)
})

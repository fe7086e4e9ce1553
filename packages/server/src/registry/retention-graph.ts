import type { RetentionStep } from '@freehold/contracts'
import { parseSubjectTag } from './purpose.ts'

export interface ManifestState {
  digest: string
  /** RFC 3339, UTC, as all times here. */
  pushedAt: string
  /** When a tag went from it last; undefined where that never happened. */
  untaggedAt: string | undefined
  /** Manifests an index names. */
  children: readonly string[]
  /** What it is a signature or an SBOM of. */
  subject: string | null
  sizeBytes: number
  blobs: readonly { digest: string; size: number }[]
}

/** All that retention looks at in one repository. */
export interface RepositoryState {
  tags: readonly { name: string; digest: string; pushedAt: string }[]
  manifests: readonly ManifestState[]
  /** Digests that services and releases need, each with the reason for people. */
  needed: ReadonlyMap<string, string>
  /** Tags that services name, each with the reason. */
  namedTags: ReadonlyMap<string, string>
}

/** The manifests a tag belongs to by its name; empty where they are not here, undefined for a tag of another form. */
export function subjectsOf(tag: string, manifests: ReadonlyMap<string, unknown>): string[] | undefined {
  const digest = parseSubjectTag(tag)?.digest
  if (digest === undefined) return undefined
  if (manifests.has(digest)) return [digest]
  if (!digest.startsWith('sha512:') || digest.length === 'sha512:'.length + 128) return []
  return [...manifests.keys()].filter((known) => known.startsWith(digest))
}

/**
 * All manifests that stay if the roots do: the children of an index, the referrers of a manifest, and what tags of
 * cosign's scheme name. The value says of which one each is a part; of a root it is the root itself.
 */
export function closureOf(
  { tags, manifests: all }: RepositoryState,
  manifests: ReadonlyMap<string, ManifestState>,
  { roots }: { roots: Iterable<string> },
): Map<string, string> {
  const belonging = new Map<string, string[]>()
  const add = (owner: string, digest: string) => {
    const known = belonging.get(owner)
    if (known === undefined) belonging.set(owner, [digest])
    else known.push(digest)
  }
  for (const manifest of all) {
    for (const child of manifest.children) add(manifest.digest, child)
    if (manifest.subject !== null) add(manifest.subject, manifest.digest)
  }
  for (const tag of tags) for (const subject of subjectsOf(tag.name, manifests) ?? []) add(subject, tag.digest)

  const found = new Map<string, string>()
  const waiting: string[] = []
  const reach = (digest: string, because: string) => {
    if (found.has(digest) || !manifests.has(digest)) return
    found.set(digest, because)
    waiting.push(digest)
  }
  for (const digest of roots) reach(digest, digest)
  for (let owner = waiting.pop(); owner !== undefined; owner = waiting.pop()) {
    for (const digest of belonging.get(owner) ?? []) reach(digest, owner)
  }
  return found
}

/**
 * What must go together or not at all: manifests with their referrers, cosign's tags and children. Within a group
 * whatever names another goes before it, so that no step leaves an index without a child.
 */
export function deletionGroups(
  { manifests: all }: RepositoryState,
  tags: readonly RetentionStep[],
  manifests: readonly RetentionStep[],
): RetentionStep[][] {
  const states = new Map(all.map((manifest) => [manifest.digest, manifest]))
  const going = new Map(manifests.map((step) => [step.digest, step]))
  const groupOf = createUnion()
  for (const { digest } of manifests) {
    for (const target of namedBy(states.get(digest))) if (going.has(target)) groupOf.join(digest, target)
  }
  for (const step of tags) {
    for (const subject of subjectsOf(step.tag ?? '', states) ?? []) groupOf.join(step.digest, subject)
  }
  const groups = new Map<string, RetentionStep[]>()
  for (const step of [...tags, ...namingFirst(going, states)]) {
    const key = groupOf.find(step.digest)
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [step])
    else group.push(step)
  }
  return [...groups.values()]
}

function namedBy(manifest: ManifestState | undefined): string[] {
  if (manifest === undefined) return []
  return [...manifest.children, ...(manifest.subject === null ? [] : [manifest.subject])]
}

/** Depth first, turned round: what names others comes before them (digests cannot name each other in a circle). */
function namingFirst(
  going: ReadonlyMap<string, RetentionStep>,
  states: ReadonlyMap<string, ManifestState>,
): RetentionStep[] {
  const done: RetentionStep[] = []
  const seen = new Set<string>()
  for (const start of going.keys()) {
    const stack = [{ digest: start, targets: undefined as string[] | undefined }]
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      if (top.targets === undefined) {
        if (seen.has(top.digest)) {
          stack.pop()
          continue
        }
        seen.add(top.digest)
        top.targets = namedBy(states.get(top.digest)).filter((digest) => going.has(digest))
      }
      const next = top.targets.pop()
      if (next !== undefined) stack.push({ digest: next, targets: undefined })
      else {
        const step = going.get(top.digest)
        if (step !== undefined) done.push(step)
        stack.pop()
      }
    }
  }
  return done.toReversed()
}

function createUnion() {
  const parents = new Map<string, string>()
  const find = (name: string): string => {
    let top = name
    for (let parent = parents.get(top); parent !== undefined; parent = parents.get(top)) top = parent
    if (top !== name) parents.set(name, top)
    return top
  }
  return {
    find,
    join(one: string, other: string): void {
      const [left, right] = [find(one), find(other)]
      if (left !== right) parents.set(left, right)
    },
  }
}

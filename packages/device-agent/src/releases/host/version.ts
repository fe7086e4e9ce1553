/**
 * Order of versions (Semantic Versioning 2.0.0, §11): below zero where `left` is older, above where it is newer, 0 where
 * both have the same precedence, which build metadata does not change. Null where one is no semantic version.
 */
export function compareVersions(left: string, right: string): number | null {
  const [first, second] = [parse(left), parse(right)]
  if (!first || !second) return null
  return compareLists(first.numbers, second.numbers) || comparePrereleases(first.prerelease, second.prerelease)
}

export function isVersion(text: string): boolean {
  return parse(text) !== null
}

/**
 * Why a host at `present` may not take `target`, a sentence for people; null: it may. `minimum` is the release's own
 * condition and nothing overrides it; an older version than the present one takes `force`, which a pin gives.
 * `force` not given: whether it is older is not asked yet.
 */
export function refusalOfVersion(options: {
  present: string | null
  target: string
  minimum: string | null
  force?: boolean | undefined
}): string | null {
  const { present, target, minimum, force } = options
  if (minimum !== null) {
    const difference = present === null ? null : compareVersions(present, minimum)
    if (difference === null) {
      return `Version ${target} needs at least ${minimum} before it, and this host does not tell its version (${present ?? 'none'}).`
    }
    if (difference < 0) return `Version ${target} needs at least ${minimum} before it; this host has ${present}.`
  }
  if (force !== false || present === null) return null
  const difference = compareVersions(target, present)
  if (difference === null || difference >= 0) return null
  return `Version ${target} is older than ${present}, which runs; pin the release with force to go back.`
}

interface Version {
  numbers: string[]
  prerelease: string[]
}

const number = '(?:0|[1-9]\\d*)'
const pattern = new RegExp(
  `^(${number})\\.(${number})\\.(${number})(?:-((?:${number}|\\d*[A-Za-z-][0-9A-Za-z-]*)(?:\\.(?:${number}|\\d*[A-Za-z-][0-9A-Za-z-]*))*))?(?:\\+[0-9A-Za-z-]+(?:\\.[0-9A-Za-z-]+)*)?$`,
)

function parse(text: string): Version | null {
  if (text.length > 256) return null
  const [, major, minor, patch, prerelease] = pattern.exec(text) ?? []
  if (major === undefined || minor === undefined || patch === undefined) return null
  return { numbers: [major, minor, patch], prerelease: prerelease?.split('.') ?? [] }
}

/** A version without a prerelease is the later one. */
function comparePrereleases(left: readonly string[], right: readonly string[]): number {
  if (left.length === 0 || right.length === 0) return right.length - left.length
  return compareLists(left, right)
}

/** The first difference decides; of two lists that begin alike the longer one is later. */
function compareLists(left: readonly string[], right: readonly string[]): number {
  for (const [index, identifier] of left.entries()) {
    const other = right[index]
    if (other === undefined) return 1
    const difference = compareIdentifiers(identifier, other)
    if (difference !== 0) return difference
  }
  return left.length - right.length
}

/** Numbers by their value, whatever their length, and before everything else; the rest in the order of ASCII. */
function compareIdentifiers(left: string, right: string): number {
  const [isNumber, isOtherNumber] = [/^\d+$/.test(left), /^\d+$/.test(right)]
  if (isNumber !== isOtherNumber) return isNumber ? -1 : 1
  if (isNumber && left.length !== right.length) return left.length - right.length
  if (left === right) return 0
  return left < right ? -1 : 1
}

/** What a rule needs to know of a manifest. */
export interface Needs {
  data: { blobs: readonly { digest: string }[] }
}

/** True once something has been as it is for the whole grace time. */
export function isRipe(sinceMs: number, { nowMs, graceMs }: { nowMs: number; graceMs: number }): boolean {
  return nowMs - sinceMs >= graceMs
}

/** Takes out of `digests` what the manifests need; the rest is needed by none of them. */
export function withoutNeeded(digests: Set<string>, manifests: readonly Needs[]): void {
  for (const manifest of manifests) for (const { digest } of manifest.data.blobs) digests.delete(digest)
}

/** Values by what `keyOf` says of them, in order of the first of each. */
export function grouped<T>(values: readonly T[], keyOf: (value: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>()
  for (const value of values) {
    const group = groups.get(keyOf(value))
    if (group === undefined) groups.set(keyOf(value), [value])
    else group.push(value)
  }
  return groups
}

/** Slices of at most `size`. */
export function* batchesOf<T>(values: readonly T[], size: number): Generator<T[]> {
  for (let at = 0; at < values.length; at += size) yield values.slice(at, at + size)
}

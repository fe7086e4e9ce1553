import { Secret } from '@freehold/contracts/lean'

export { Secret }

/** Takes secrets out of text that others wrote: a peer's error message may repeat what was sent to it. */
export interface Redactor {
  /** At most the newest 64 are remembered. */
  remember(secret: Secret | null | undefined): void
  clean(text: string): string
}

export function createRedactor(): Redactor {
  const known = new Set<string>()
  return {
    remember: (secret) => {
      const value = secret?.reveal()
      if (value === undefined || value.length < 4) return
      for (const form of new Set([value, encodeURIComponent(value), JSON.stringify(value).slice(1, -1)])) {
        known.delete(form)
        known.add(form)
      }
      for (const oldest of known) {
        if (known.size <= 64) break
        known.delete(oldest)
      }
    },
    // The longest first: one may be a part of another, of which the rest would stay.
    clean: (text) =>
      [...known]
        .toSorted((one, other) => other.length - one.length)
        .reduce((cleaned, value) => cleaned.replaceAll(value, Secret.redacted), text),
  }
}

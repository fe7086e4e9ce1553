import type { TrustedKey } from './keys.ts'

/** What one signature is worth: who made it, or in a few words why it does not count. */
export type Finding = { signer: TrustedKey } | { refused: string }

/** The first annotation that is demanded and not said, as `key=value`. */
export function missingAnnotation(
  said: Readonly<Record<string, unknown>>,
  demanded: Readonly<Record<string, string>>,
): string | undefined {
  const missing = Object.entries(demanded).find(([name, value]) => !Object.hasOwn(said, name) || said[name] !== value)
  return missing?.join('=')
}

/** JSON in UTF-8; undefined where it is none. */
export function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    return undefined
  }
}

import { createHash, randomBytes } from 'node:crypto'

/** What a credential is for; its value begins so, that people and secret scanners recognise it. */
export type CredentialPrefix = 'fhs_' | 'fht_'

/** A new session or token value: 256 random bits. Only its hash is ever stored. */
export function makeCredential(prefix: CredentialPrefix): { value: string; hash: string; start: string } {
  const value = `${prefix}${randomBytes(32).toString('base64url')}`
  return { value, hash: hashOf(value), start: value.slice(0, 10) }
}

/** SHA-256 is enough here: nobody guesses 256 random bits. */
export function hashOf(value: string): string {
  return createHash('sha256').update(value).digest('base64url')
}

/** Whether this is a session, a token, or nothing of ours. */
export function prefixOf(value: string): CredentialPrefix | undefined {
  if (!/^fh[st]_[A-Za-z0-9_-]{43}$/.test(value)) return undefined
  return value.startsWith('fhs_') ? 'fhs_' : 'fht_'
}

import { createHash } from '../../builtin.ts'

/**
 * The one application of the Supervisor that is ours. Fixed, because volumes carry it in their names and outlive
 * releases; far from the small numbers that people and tools choose.
 */
export const ourAppId = 1_907_426_311
export const ourAppName = 'freehold'

/**
 * Each image gets a repository of its own: a Supervisor that meets two images in one repository takes the one for the
 * other, and renames containers instead of replacing them. `.invalid` belongs to nobody (RFC 6761, section 6.4), so an
 * image that is missing is missing, and is never taken from elsewhere.
 */
const imagePrefix = 'freehold.invalid/image/'
export const ourImagesPattern = `${imagePrefix}*`

/** Repository of an image in the engine, by its digest; the tag is `latest`. */
export function localRepository(digest: string): string {
  return `${imagePrefix}${digest.slice(digest.indexOf(':') + 1)}`
}

export function localImage(digest: string): string {
  return `${localRepository(digest)}:latest`
}

/** The hexadecimal part of the digest that a name of ours carries; null: not one of ours. */
export function digestHexOf(localName: string): string | null {
  return /^freehold\.invalid\/image\/([0-9a-f]{64,128}):latest$/.exec(localName)?.[1] ?? null
}

/** A release's id as the Supervisor's commit, which becomes part of the names of containers. */
export function commitOf(releaseId: string): string {
  return releaseId.replaceAll('-', '')
}

/** Null: that commit is not one of ours. */
export function releaseIdOf(commit: string | null | undefined): string | null {
  const parts = /^([0-9a-f]{8})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{12})$/.exec(commit ?? '')
  return parts ? parts.slice(1).join('-') : null
}

/** The Supervisor wants whole positive numbers where we have names: the same name always gets the same. */
export function numberFor(name: string): number {
  return (createHash('sha256').update(name).digest().readUInt32BE(0) >>> 1) + 1
}

/**
 * The OCI registry at `/v2/`: OCI Distribution 1.1 (pull, push, discovery, management) with the Docker registry's
 * bearer tokens. Names, links and manifests are resources of the store, bytes lie in the blob store. What an image
 * is to people and services belongs to the images. What nothing needs any more is collected here (`garbage.ts`), which
 * tags and manifests stay is decided here (`retention-rules.ts`), and quotas are kept here (`quota.ts`).
 *
 * Invariants:
 * - A tag names a manifest of its repository, and everything that manifest needs is linked there: checked in the
 *   transaction that makes the tag, and kept by every delete.
 * - Bytes are durable before a row names them.
 * - Collecting garbage takes nothing a manifest needs, and nothing from a push under way; it never stops one.
 * - Whoever reads a blob through a repository needs that repository's link; a digest alone opens nothing.
 * - A device reads only manifests that it is to run, what they consist of and what refers to them (`device-reads.ts`).
 * - An image's status carries tag and digest from the very transaction of the push.
 * - Bytes known to be damaged are served to nobody, and pushing them again heals them.
 */
export type { PullingDevice, RegistryUser } from './access.ts'
export { createRegistryHandlers, createRetentionHandlers } from './api-routes.ts'
export type { Artifact, KeptArtifact } from './artifacts.ts'
export { createRegistryContent, type RegistryContent } from './content.ts'
export { describeDamage } from './damage-rules.ts'
export { createImageContentHandlers } from './inspect.ts'
export { parseRange } from './ranges.ts'
export { createRegistry, type Registry } from './registry.ts'
export { createRetainer } from './retention.ts'
export type { RegistryScrub } from './scrub.ts'
export { createScrubHandlers } from './scrub-routes.ts'

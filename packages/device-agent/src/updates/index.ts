/**
 * Whether to trust what the control plane says about releases: the signed channel below `/updates/` (The Update
 * Framework), and the assignment made for this device alone. A process of its own judges, with the library `tuf-js`,
 * which is not ours; it ends when it has answered. See docs/decisions/0022.
 *
 * Not here: what is done with an assignment that is trusted.
 */
export type { NewestAssignment } from './assignment.ts'
export { readManifestFile } from './folder.ts'
export { noTrust, type Trust, type VerifyRequest } from './protocol.ts'
export { readAssignment } from './read-assignment.ts'
export { readManifest } from './read-manifest.ts'
export { mayPass, type Refusal } from './refusal.ts'
export { createVerifier, type Verifier } from './verifier.ts'
export type { Zone, ZoneOffset } from './zone.ts'

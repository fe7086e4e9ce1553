/**
 * Admission: whether an image may run. A service may demand that its image is signed by one of some keys; here the
 * signatures beside an image in our registry are found, read and verified (cosign's layouts, `node:crypto`).
 *
 * What counts as a signature is a signed statement of its own that names the image's digest; an attestation (an SBOM, a
 * scan) by the same key is none. Everything read is bounded, and what cannot be read is a reason, never a failure.
 *
 * Not here: when it is asked (`services` before deploying a push, `rollouts` before starting anything), keyless
 * signatures (certificates, transparency logs), signatures in other registries.
 */
export { checkAdmission, demandsSignature } from './demand.ts'
export { createJudge, type Judge } from './judge.ts'

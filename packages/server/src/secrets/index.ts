/**
 * The one secret of an installation and what is made of it: keys for purposes, a type for values that must not be
 * printed, and encryption of such values for the store. What is secret, and who may read it, is each noun's own.
 */

export { Secret } from '@freehold/contracts'
export { checkServerSecret } from './check.ts'
export { createSealer, type Sealer } from './seal.ts'
export { openServerSecret, type ServerSecret } from './server-secret.ts'

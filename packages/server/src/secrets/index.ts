/**
 * The one secret of an installation and what is made of it: keys for purposes, and a type for values that must not
 * be printed. Not for the secrets of services; nothing is encrypted here.
 */
export { checkServerSecret } from './check.ts'
export { Secret } from './secret.ts'
export { openServerSecret, type ServerSecret } from './server-secret.ts'

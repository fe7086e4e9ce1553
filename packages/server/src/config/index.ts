/**
 * What the operator sets, all of it from the environment: read once at the start, checked as a whole, passed on as
 * plain values. Not for what is changed while it runs; that lives in the store.
 */
export { type Config, readConfig } from './read.ts'
export { settingsReference } from './reference.ts'
export { retentionOf } from './retention.ts'
export { publicUrlOf } from './url.ts'

/**
 * The resource store: every desired and observed fact, its versions, its change feed and its audit log.
 * Nouns know kinds and this interface; which engine is behind it is known to the composition root alone.
 */
export * from './store.ts'

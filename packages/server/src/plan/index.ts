/**
 * The desired state as documents: written out, compared, made so. Documents name each other by name, so that they fit
 * an empty server too.
 *
 * A preview is the apply itself in a transaction that is rolled back; so the two refuse the same things with the same
 * words. Not here: the rules of the nouns, which are theirs; YAML, which is the command line's.
 */
export { createPlanHandlers } from './routes.ts'

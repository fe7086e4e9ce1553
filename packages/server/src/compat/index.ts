/**
 * Typed requests: the envelope existing clients post to `/typedrequest`, answered by the very handlers of the API
 * behind the very same access rule. Here are only the envelope, the table of methods and the shapes of its records.
 *
 * Not here: streams over a socket (the registry and the API carry those), and methods of nouns that do not exist yet:
 * they answer as unknown.
 */
export { createTypedRequests } from './endpoint.ts'

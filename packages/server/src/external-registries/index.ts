/**
 * Registries elsewhere: where they are, the credentials Freehold signs in with there, and a client that reads from them.
 * Passwords are encrypted at rest and leave this noun only towards the registry itself, or as the pull credentials of a
 * cluster that runs an image of it. What is kept of other registries' content is the registry's own.
 */
export { type RegistryClient, UpstreamError, type UpstreamManifest } from './client/index.ts'
export { toFreeholdError } from './errors.ts'
export { createPullBook } from './pulls.ts'
export { createExternalRegistryHandlers } from './routes.ts'
export {
  checkImageRegistry,
  createExternalRegistry,
  deleteExternalRegistry,
  updateExternalRegistry,
} from './service.ts'
export { createTagLookup, type TagLookup } from './tags.ts'
export { createUpstreams, type Upstreams } from './upstreams.ts'

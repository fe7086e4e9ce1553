/**
 * Images: a name, and the versions that were pushed under it. An internal image is a repository of our registry; an
 * external one names a repository elsewhere. Bytes, manifests and the protocol are the registry's, not known here.
 */
export { withoutVersions, withVersions } from './kind.ts'
export { digestsOfReleases, releasesHolding } from './releases.ts'
export { createImageHandlers } from './routes.ts'
export { createImage, deleteImage, ensureImage, ensureServiceImage, updateImage } from './service.ts'
export {
  countIn,
  countOut,
  countStore,
  findUsage,
  isHeld,
  type QuotaPassed,
  showUsage,
} from './usage.ts'

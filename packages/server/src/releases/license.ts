import { hash } from 'node:crypto'
import type { Artifact, KeptArtifact } from '../registry/index.ts'
import type { KeepLicense } from './service.ts'

const repository = 'baseos/licenses'

/** Licence bundles are artifacts of one repository of ours, each tagged by its own hash. */
export function createLicenseKeeper(options: {
  keepArtifact: (artifact: Artifact) => Promise<KeptArtifact>
}): KeepLicense {
  return async ({ deviceType, bytes, actor }) => {
    const { digest, blobDigest, sizeBytes } = await options.keepArtifact({
      repository,
      tag: `${deviceType}-${hash('sha256', bytes, 'hex').slice(0, 16)}`,
      artifactType: 'application/vnd.freehold.license-bundle.v1',
      mediaType: 'application/gzip',
      bytes,
      actor,
    })
    return { artifact: { repository, digest }, blobDigest, sizeBytes }
  }
}

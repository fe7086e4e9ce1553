import { Readable } from 'node:stream'
import type { BlobStore } from '@freehold/blobs'
import { FreeholdError } from '@freehold/contracts'
import type { Actor, Store } from '@freehold/store'
import type { DigestGuard } from './digest-guard.ts'
import { RegistryError } from './errors.ts'
import { mediaTypes, parseManifest } from './manifest.ts'
import { digestOf, type ManifestBytes } from './manifest-bytes.ts'
import { pushManifest } from './push.ts'
import type { Quota } from './quota.ts'
import { linkBlob } from './repository.ts'

/** One file that the control plane itself puts into a repository. */
export interface Artifact {
  repository: string
  tag: string
  /** What it is, as `application/vnd.…`. */
  artifactType: string
  mediaType: string
  bytes: Buffer
  actor: Actor
}
export interface KeptArtifact {
  /** Of its manifest. */
  digest: string
  blobDigest: string
  sizeBytes: number
}

/** Of the empty config that an artifact without one has (OCI Image 1.1, "Guidance for an Empty Descriptor"). */
const emptyConfig = Buffer.from('{}')
const emptyType = 'application/vnd.oci.empty.v1+json'

/**
 * Keeps a file as an artifact of our registry (OCI Image 1.1, "Guidelines for Artifact Usage"), as a push of a client
 * would: quotas hold, and garbage collection leaves it alone while its manifest is there. Throws `conflict`.
 */
export function createArtifactKeeper(options: {
  store: Store
  blobs: BlobStore
  bytes: ManifestBytes
  guard: DigestGuard
  quota: Quota
  now: () => number
}) {
  const { store, blobs, bytes: manifestBytes, guard, quota, now } = options
  const { limits } = quota

  async function keepBlob(bytes: Buffer, { repository, actor }: Artifact): Promise<string> {
    const digest = digestOf(bytes, 'sha256')
    await quota.reserve({ repository, digest, sizeBytes: async () => bytes.length }, () =>
      guard.hold(digest, async () => {
        const { sizeBytes } = await blobs.put(digest, Readable.from([bytes]))
        await linkBlob(store, actor, { repository, digest, sizeBytes, limits })
      }),
    )
    return digest
  }

  async function keep(artifact: Artifact): Promise<KeptArtifact> {
    const { repository, tag, artifactType, mediaType, bytes, actor } = artifact
    const config = await keepBlob(emptyConfig, artifact)
    const blobDigest = await keepBlob(bytes, artifact)
    const content = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: mediaTypes.ociManifest,
        artifactType,
        config: { mediaType: emptyType, digest: config, size: emptyConfig.length },
        layers: [{ mediaType, digest: blobDigest, size: bytes.length }],
      }),
    )
    const digest = digestOf(content, 'sha256')
    const manifest = parseManifest(content, mediaTypes.ociManifest)
    const at = new Date(now()).toISOString()
    const push = { repository, digest, sizeBytes: content.length, manifest, tags: [tag], platforms: [], at, limits }
    await guard.hold(digest, async () => {
      await manifestBytes.put(digest, content)
      await pushManifest(store, actor, push)
    })
    return { digest, blobDigest, sizeBytes: bytes.length }
  }

  return async (artifact: Artifact): Promise<KeptArtifact> => {
    try {
      return await keep(artifact)
    } catch (error) {
      if (error instanceof RegistryError && error.status < 500) {
        throw new FreeholdError('conflict', error.message, { cause: error })
      }
      throw error
    }
  }
}

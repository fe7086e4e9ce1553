import type { baseImageKind, buildKind } from './builds.ts'
import type { clusterKind, enrolmentKind, nodeKind } from './clusters.ts'
import type { deviceCredentialKind, deviceKind, joinTokenKind } from './device-resources.ts'
import type { externalRegistryKind } from './external-registries.ts'
import type { sessionKind, tokenKind, userKind } from './identity.ts'
import type {
  blobLinkKind,
  condemnedKind,
  damagedBlobKind,
  imageKind,
  manifestKind,
  repositoryUsageKind,
  tagKind,
} from './images.ts'
import type { releaseRolloutKind } from './release-rollouts.ts'
import type { channelKind, deviceGroupKind, releaseImageKind, releaseKind } from './releases.ts'
import type { Resource } from './resource.ts'
import type { revisionKind, rolloutKind } from './rollouts.ts'
import type { scrubKind } from './scrub.ts'
import type { serviceKind } from './services.ts'
import type { settingsKind } from './settings.ts'
import type { updateKeyKind, updateMetadataKind, updateTargetKind } from './updates.ts'

type Of<K extends { data: { _zod: { output: unknown } }; status: { _zod: { output: unknown } } }> = Resource<
  K['data']['_zod']['output'],
  K['status']['_zod']['output']
>

/** The stored resources, one type a kind. */
export type UserResource = Of<typeof userKind>
export type TokenResource = Of<typeof tokenKind>
export type SessionResource = Of<typeof sessionKind>
export type Cluster = Of<typeof clusterKind>
export type Node = Of<typeof nodeKind>
export type Enrolment = Of<typeof enrolmentKind>
export type Service = Of<typeof serviceKind>
export type Revision = Of<typeof revisionKind>
export type Rollout = Of<typeof rolloutKind>
export type BaseImage = Of<typeof baseImageKind>
export type Build = Of<typeof buildKind>
export type ExternalRegistry = Of<typeof externalRegistryKind>
export type Device = Of<typeof deviceKind>
export type DeviceCredential = Of<typeof deviceCredentialKind>
export type JoinToken = Of<typeof joinTokenKind>
export type Release = Of<typeof releaseKind>
export type ReleaseImage = Of<typeof releaseImageKind>
export type Channel = Of<typeof channelKind>
export type DeviceGroup = Of<typeof deviceGroupKind>
export type ReleaseRollout = Of<typeof releaseRolloutKind>
export type UpdateMetadata = Of<typeof updateMetadataKind>
export type UpdateKey = Of<typeof updateKeyKind>
export type UpdateTarget = Of<typeof updateTargetKind>
export type Settings = Of<typeof settingsKind>
export type Image = Of<typeof imageKind>
export type Manifest = Of<typeof manifestKind>
export type Tag = Of<typeof tagKind>
export type BlobLink = Of<typeof blobLinkKind>
export type Condemned = Of<typeof condemnedKind>
export type DamagedBlob = Of<typeof damagedBlobKind>
export type Scrub = Of<typeof scrubKind>
export type RepositoryUsage = Of<typeof repositoryUsageKind>

import { agentRoutes } from './agents.ts'
import { baseImageKind, buildKind, buildRoutes } from './builds.ts'
import { clusterKind, clusterRoutes, enrolmentKind, nodeKind } from './clusters.ts'
import { deviceCredentialKind, deviceKind, deviceRoutes, joinTokenKind } from './device-resources.ts'
import { externalRegistryKind, externalRegistryRoutes } from './external-registries.ts'
import { identityRoutes, sessionKind, tokenKind, userKind } from './identity.ts'
import { imageContentRoutes } from './image-contents.ts'
import {
  blobLinkKind,
  condemnedKind,
  damagedBlobKind,
  imageKind,
  imageRoutes,
  manifestKind,
  repositoryUsageKind,
  tagKind,
} from './images.ts'
import { installationKind } from './installation.ts'
import { planRoutes } from './plan.ts'
import { registryRoutes } from './registry.ts'
import { releaseRolloutKind, releaseRolloutRoutes } from './release-rollouts.ts'
import { channelKind, deviceGroupKind, releaseImageKind, releaseKind, releaseRoutes } from './releases.ts'
import { revisionKind, rolloutKind, rolloutRoutes } from './rollouts.ts'
import type { Route } from './route.ts'
import { scrubKind, scrubRoutes } from './scrub.ts'
import { serviceKind, serviceRoutes } from './services.ts'
import { settingsKind, settingsRoutes } from './settings.ts'
import { statusRoutes } from './status.ts'
import { updateKeyKind, updateMetadataKind, updateRoutes, updateTargetKind } from './updates.ts'

/** Every JSON route, by noun and verb. `/v2`, `/typedrequest` and the agent link have protocols of their own. */
export const routes = {
  ...statusRoutes,
  ...identityRoutes,
  ...clusterRoutes,
  ...serviceRoutes,
  ...rolloutRoutes,
  ...deviceRoutes,
  ...releaseRoutes,
  ...releaseRolloutRoutes,
  ...updateRoutes,
  ...buildRoutes,
  ...settingsRoutes,
  ...imageRoutes,
  images: { ...imageRoutes.images, ...imageContentRoutes },
  ...scrubRoutes,
  ...registryRoutes,
  ...externalRegistryRoutes,
  ...planRoutes,
  ...agentRoutes,
}
export type Routes = typeof routes

/** Every kind the store holds. */
export const kinds = {
  user: userKind,
  token: tokenKind,
  session: sessionKind,
  cluster: clusterKind,
  node: nodeKind,
  enrolment: enrolmentKind,
  service: serviceKind,
  revision: revisionKind,
  rollout: rolloutKind,
  device: deviceKind,
  deviceCredential: deviceCredentialKind,
  joinToken: joinTokenKind,
  release: releaseKind,
  releaseImage: releaseImageKind,
  channel: channelKind,
  deviceGroup: deviceGroupKind,
  releaseRollout: releaseRolloutKind,
  updateMetadata: updateMetadataKind,
  updateKey: updateKeyKind,
  updateTarget: updateTargetKind,
  baseImage: baseImageKind,
  build: buildKind,
  settings: settingsKind,
  image: imageKind,
  manifest: manifestKind,
  tag: tagKind,
  blobLink: blobLinkKind,
  condemned: condemnedKind,
  damagedBlob: damagedBlobKind,
  scrub: scrubKind,
  installation: installationKind,
  repositoryUsage: repositoryUsageKind,
  externalRegistry: externalRegistryKind,
}

/** All routes in a list, named `services.create`. */
export function listRoutes(): { name: string; route: Route }[] {
  return Object.entries(routes).flatMap(([noun, verbs]) =>
    Object.entries(verbs as Record<string, Route>).map(([verb, route]) => ({ name: `${noun}.${verb}`, route })),
  )
}

import { imageKind, revisionKind, rolloutKind, serviceKind } from '@freehold/contracts'
import type { Transaction } from '@freehold/store'
import { isFinal } from '../rollouts/index.ts'
import { findImage } from './image.ts'
import { type Sight, statusOf } from './kind.ts'

/**
 * Brings a service's status up to what is stored and seen; writes nothing where it says so already, nor where the
 * service is not one of the cluster that is looked at: an agent may only speak of its own.
 */
export async function refreshService(
  transaction: Transaction,
  options: { serviceId: string; clusterId: string; sight: Sight; registryHost: string },
): Promise<void> {
  const service = await transaction.get(serviceKind, options.serviceId)
  if (service === undefined || service.data.clusterId !== options.clusterId) return
  const { currentRevisionId, rolloutId } = service.status
  const current = currentRevisionId === null ? undefined : await transaction.get(revisionKind, currentRevisionId)
  const rollout = rolloutId === null ? undefined : await transaction.get(rolloutKind, rolloutId)
  const isRolling = rollout !== undefined && !isFinal(rollout.status.phase)
  const next = isRolling ? await transaction.get(revisionKind, rollout.data.revisionId) : undefined
  const { imageId, imageVersion } = service.data
  const image = imageId === undefined ? undefined : await transaction.get(imageKind, imageId)
  const found =
    image === undefined
      ? undefined
      : await findImage(transaction, { image, imageVersion, registryHost: options.registryHost })
  const { awaitingSignature } = service.status
  const isMissing = image !== undefined && found === null
  const waiting = isMissing
    ? image.data.location.internal && image.data.location.mirrorOf !== undefined
      ? `The mirror ${image.data.name} has no version ${imageVersion} yet. Deploy the service to ask its registry again.`
      : `No image ${options.registryHost}/${image.data.name}:${imageVersion} has been pushed yet.`
    : awaitingSignature !== undefined && awaitingSignature.digest === found?.digest
      ? awaitingSignature.message
      : rollout === undefined && image?.data.location.internal === true
        ? 'An image is there, and deployOnPush is off: deploy the service to run it.'
        : null
  await transaction.setStatus(
    serviceKind,
    service.id,
    statusOf({
      service,
      current: current ?? null,
      rollout: rollout ?? null,
      next: next ?? null,
      waiting,
      sight: options.sight,
    }),
  )
}

import type { Executors } from '@freehold/reconcile'
import type { Engine, RegistryAuth } from '../docker/engine.ts'
import { label } from './labels.ts'
import type { Step } from './steps.ts'

/** What does each kind of step. The image reference goes to Docker as it is: a digest stays that digest. */
export function createExecutors(engine: Engine, registry: RegistryAuth | null): Executors<Step> {
  const authFor = (image: string) => (registry && hostOf(image) === registry.host ? registry : null)
  return {
    'create-network': ({ name, clusterId }, signal) =>
      engine.createOverlayNetwork({ name, labels: { [label.cluster]: clusterId } }, signal),
    'create-service': ({ spec }, signal) =>
      engine.createService({ spec, registryAuth: authFor(spec.TaskTemplate.ContainerSpec.Image) }, signal),
    'update-service': ({ swarmServiceId, version, spec }, signal) =>
      engine.updateService(
        { id: swarmServiceId, version, spec, registryAuth: authFor(spec.TaskTemplate.ContainerSpec.Image) },
        signal,
      ),
    'remove-service': ({ swarmServiceId }, signal) => engine.removeService({ id: swarmServiceId }, signal),
  }
}

/** The registry an image reference names: its first part, where that looks like a host; else Docker Hub. */
function hostOf(image: string): string {
  const [first = '', ...rest] = image.split('/')
  const isHost = rest.length > 0 && (first.includes('.') || first.includes(':') || first === 'localhost')
  return isHost ? first : 'docker.io'
}

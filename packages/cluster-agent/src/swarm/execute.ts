import { type Desired, repositoryOfReference } from '@freehold/contracts'
import type { Executors } from '@freehold/reconcile'
import type { Engine, RegistryAuth } from '../docker/engine.ts'
import { label } from './labels.ts'
import type { Step } from './steps.ts'

/** What does each kind of step. The image reference goes to Docker as it is: a digest stays that digest. */
export function createExecutors(
  engine: Engine,
  credentials: Pick<Desired, 'registry' | 'externalPulls'>,
): Executors<Step> {
  const authFor = (image: string) => registryAuthFor(image, credentials)
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

/** Our registry's password goes with its images alone; any other goes with exactly the image it was given for. */
function registryAuthFor(
  image: string,
  { registry, externalPulls }: Pick<Desired, 'registry' | 'externalPulls'>,
): RegistryAuth | null {
  const host = hostOf(image)
  if (registry?.host === host) return registry
  const pull = externalPulls.find((one) => one.image === repositoryOfReference(image))
  if (pull === undefined) return null
  // Docker Hub's credentials go by the address of its first index.
  const address = host === 'docker.io' ? 'https://index.docker.io/v1/' : host
  return { host: address, username: pull.username, password: pull.password }
}

/** The registry an image reference names: its first part, where that looks like a host; else Docker Hub. */
function hostOf(image: string): string {
  const [first = '', ...rest] = image.split('/')
  const isHost = rest.length > 0 && (first.includes('.') || first.includes(':') || first === 'localhost')
  return isHost ? first : 'docker.io'
}

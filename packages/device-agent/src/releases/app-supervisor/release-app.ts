import type { ReleaseManifest } from '@freehold/contracts'
import type { LocalApp } from './local-target.ts'
import { commitOf, localImage, numberFor, ourAppName } from './names.ts'

/** A release as an application of the Supervisor's local target state; its images are in the engine already. */
export function releaseApp(manifest: ReleaseManifest): LocalApp {
  const services = manifest.services.map((service) => {
    const id = numberFor(service.name)
    const fields = {
      serviceName: service.name,
      serviceId: id,
      imageId: numberFor(service.image.digest),
      image: localImage(service.image.digest),
      environment: { ...service.environment },
      labels: { ...service.labels },
      running: true,
      restart: service.restart,
      privileged: service.privileged,
      ...(service.command === null ? {} : { command: service.command }),
      ...(service.network === 'host' ? { network_mode: 'host' } : {}),
      ports: service.ports.map(({ host, container, protocol }) => `${host}:${container}/${protocol}`),
      volumes: service.volumes.map(({ name, path }) => `${name}:${path}`),
    }
    return [String(id), fields] as const
  })
  const volumes = manifest.services.flatMap((service) => service.volumes.map(({ name }) => [name, {}] as const))
  return {
    name: ourAppName,
    commit: commitOf(manifest.releaseId),
    releaseId: numberFor(manifest.releaseId),
    services: Object.fromEntries(services),
    volumes: Object.fromEntries(volumes),
    networks: {},
  }
}

/** The images of a release, each once. */
export function imagesOf(manifest: ReleaseManifest): { repository: string; digest: string }[] {
  const byDigest = new Map(manifest.services.map(({ image }) => [image.digest, image]))
  return [...byDigest.values()]
}

/** The images' contents over a test registry, as the door would call them; for tests alone. */
import { clusterKind, imageKind, type Service, serviceData } from '@freehold/contracts'
import type { Actor } from '@freehold/store'
import { createService } from '../services/index.ts'
import { createImageContentHandlers } from './inspect.ts'
import { ociIndex, putManifest, sha256, type TestRegistry } from './testing.ts'

const actor: Actor = { type: 'user', id: 'grace', name: 'grace' }

export function contentsOf(registry: TestRegistry) {
  const { store, blobs, host } = registry
  const handlers = createImageContentHandlers({
    store,
    blobs,
    registryHost: () => host,
    onDamage: registry.registry.scrub.suspect,
    now: () => registry.clock.ms,
  })
  type Contents = typeof handlers
  type Verb = keyof Contents
  type Answer<V extends Verb> = Exclude<Awaited<ReturnType<Contents[V]>>, AsyncIterable<unknown>>

  /** Of one repository, by name. */
  return async function call<V extends Verb>(
    verb: V,
    repository: string,
    parts: { params?: object; query?: object; body?: object } = {},
  ): Promise<Answer<V>> {
    const image = await store.find(imageKind, 'name', repository)
    const input = {
      params: { id: image?.id, ...parts.params },
      query: { limit: 100, ...parts.query },
      body: { tags: [], manifests: [], cascade: true, preview: false, ...parts.body },
      caller: { identity: null, actor },
    }
    const handler = handlers[verb] as (input: unknown) => Promise<unknown>
    return (await handler(input)) as Answer<V>
  }
}

/** A service that runs a version of the image, with its first revision. */
export async function serve(registry: TestRegistry, repository: string, imageVersion: string): Promise<Service> {
  return registry.store.transaction(actor, async (transaction) => {
    const name = `web-${imageVersion.slice(0, 8).replaceAll(/[^a-z0-9]/g, '')}`
    const cluster = await transaction.create(clusterKind, { data: { name: `c-${name}`, description: '' } })
    const image = await transaction.find(imageKind, 'name', repository)
    const data = serviceData.parse({ name, clusterId: cluster.id, imageId: image?.id, imageVersion })
    return createService(transaction, { data }, { registryHost: () => registry.host, now: () => Date.now() })
  })
}

/** Pushes an index of manifests that are there and answers its digest. */
export async function pushIndex(
  registry: TestRegistry,
  repository: string,
  tag: string,
  children: { digest: string; manifest: string; platform?: string }[],
): Promise<string> {
  const manifests = children.map(({ digest, manifest, platform = 'linux/amd64' }) => {
    const [os, architecture] = platform.split('/')
    const mediaType = JSON.parse(manifest).mediaType as string
    return { mediaType, digest, size: manifest.length, platform: { os, architecture } }
  })
  const index = JSON.stringify({ schemaVersion: 2, mediaType: ociIndex, manifests })
  const response = await putManifest(registry, repository, tag, index, ociIndex)
  if (response.status !== 201) throw new Error(`The index was refused: ${await response.text()}`)
  return sha256(index)
}

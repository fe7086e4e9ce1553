import { createHash } from 'node:crypto'

const manifestType = 'application/vnd.oci.image.manifest.v1+json'
const indexType = 'application/vnd.oci.image.index.v1+json'
const configType = 'application/vnd.oci.image.config.v1+json'

export interface PushTarget {
  url: string
  username: string
  password: string
  repository: string
}

export interface Pushed {
  digest: string
  sizeBytes: number
  mediaType: string
  platform?: { os: string; architecture: string }
}

/** Pushes a small image over the registry's own protocol, without an engine; `layers` are the layers' contents. */
export async function pushSmallImage(
  target: PushTarget,
  image: { tag?: string; layers: readonly (string | Uint8Array)[]; architecture?: string; config?: object },
): Promise<Pushed> {
  const platform = { os: 'linux', architecture: image.architecture ?? 'amd64' }
  const config = JSON.stringify({ ...platform, created: '2030-01-01T00:00:00Z', config: image.config ?? {} })
  const layers = []
  for (const layer of image.layers) {
    layers.push(await pushBytes(target, layer, 'application/vnd.oci.image.layer.v1.tar+gzip'))
  }
  const manifest = {
    schemaVersion: 2,
    mediaType: manifestType,
    config: await pushBytes(target, config, configType),
    layers,
  }
  return { ...(await pushManifest(target, image.tag, manifest)), platform }
}

/** Pushes an index of manifests that are there already. */
export function pushIndexOf(target: PushTarget, tag: string, children: readonly Pushed[]): Promise<Pushed> {
  const manifests = children.map(({ digest, sizeBytes, mediaType, platform }) => ({
    mediaType,
    digest,
    size: sizeBytes,
    ...(platform === undefined ? {} : { platform }),
  }))
  return pushManifest(target, tag, { schemaVersion: 2, mediaType: indexType, manifests })
}

/** Attaches an artifact, such as a signature, to what was pushed before. */
export async function pushReferrer(target: PushTarget, subject: Pushed, artifactType: string): Promise<Pushed> {
  return pushManifest(target, undefined, {
    schemaVersion: 2,
    mediaType: manifestType,
    artifactType,
    config: await pushBytes(target, '{}', 'application/vnd.oci.empty.v1+json'),
    layers: [],
    subject: { mediaType: subject.mediaType, digest: subject.digest, size: subject.sizeBytes },
  })
}

async function pushManifest(
  target: PushTarget,
  tag: string | undefined,
  manifest: Record<string, unknown> & { mediaType: string },
) {
  const body = JSON.stringify(manifest)
  const digest = digestOf(body)
  const path = `/v2/${target.repository}/manifests/${tag ?? digest}`
  await send(target, 'PUT', path, { body, contentType: manifest.mediaType })
  return { digest, sizeBytes: Buffer.byteLength(body), mediaType: manifest.mediaType }
}

async function pushBytes(target: PushTarget, content: string | Uint8Array, mediaType: string) {
  const body = Buffer.from(content)
  const digest = digestOf(body)
  const path = `/v2/${target.repository}/blobs/uploads/?digest=${digest}`
  await send(target, 'POST', path, { body, contentType: 'application/octet-stream' })
  return { mediaType, digest, size: body.length }
}

async function send(
  { url, username, password }: PushTarget,
  method: string,
  path: string,
  { body, contentType }: { body: string | Buffer<ArrayBuffer>; contentType: string },
): Promise<void> {
  const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
  const response = await fetch(url + path, { method, body, headers: { authorization, 'content-type': contentType } })
  const answer = await response.text()
  if (response.status !== 201) throw new Error(`${method} ${path} was answered with ${response.status}: ${answer}`)
}

function digestOf(content: string | Uint8Array): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`
}

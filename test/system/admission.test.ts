import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type Artifact,
  bundleArtifact,
  bundleOf,
  digestOf,
  makeSigner,
  signatureArtifact,
  signatureTag,
  simpleLayer,
  simplePayload,
} from '../../packages/server/src/admission/signing.testing.ts'
import {
  type AgentProcess,
  answerOf,
  type Cloud,
  type Dockerd,
  type Freehold,
  freePort,
  labAdministrator,
  quickService,
  requireParts,
  signIn,
  startCluster,
  startDockerd,
  startFreehold,
  webImage,
} from './lab/index.ts'

/**
 * A service that runs only what is signed, on a real Swarm: an unsigned push replaces nothing and says why, a deploy of
 * it fails with the reason, and the signature lets it run. Signatures are made by `node:crypto` in cosign's layouts.
 */
let dockerd: Dockerd
let freehold: Freehold
let cloud: Cloud
let agent: AgentProcess
let serviceId: string
let repository: string
let port: number
let second: string
const alice = makeSigner()
const mallory = makeSigner()

beforeAll(async () => {
  requireParts(['docker'])
  dockerd = await startDockerd()
  freehold = await startFreehold()
  cloud = await signIn(freehold)
  const started = await startCluster({ cloud, url: freehold.url, dockerd })
  agent = started.agent
  port = await freePort()
  const data = {
    ...quickService({ name: 'signed', clusterId: started.clusterId, published: port }),
    admission: { signedBy: [alice.publicKey] },
  }
  const service = await cloud.client.services.create({ body: { data } })
  serviceId = service.id
  repository = (await cloud.client.services.registryTarget({ params: { id: serviceId } })).repository
})

afterAll(async () => {
  await agent?.stop()
  await freehold?.stop()
  await dockerd?.stop()
})

test('a first push waits for its signature, and runs once that is pushed', async () => {
  const first = await cloud.push(dockerd, serviceId, await webImage({ name: 'signed:1', version: 'version 1' }))
  const waiting = await waitingFor(first)
  expect(waiting.status).toMatchObject({ state: 'waiting-for-image', rolloutId: null })
  await pushArtifact(signatureArtifact([simpleLayer(alice, simplePayload(first))]), signatureTag(first))
  expect((await cloud.verdict(serviceId, 1)).status.phase).toBe('succeeded')
  expect(await answerOf(port)).toBe('version 1')
})

test('an unsigned push does not replace the running version, and says why', async () => {
  second = await cloud.push(dockerd, serviceId, await webImage({ name: 'signed:2', version: 'version 2' }))
  const waiting = await waitingFor(second)
  expect(waiting.status).toMatchObject({ state: 'running', currentRevisionNumber: 1 })
  expect(waiting.status.message).toContain(`${second} has no signature`)
  expect(await answerOf(port)).toBe('version 1')
})

test('a deploy of it fails with the reason, and nothing of it is started', async () => {
  await cloud.client.services.deploy({ params: { id: serviceId }, body: {} })
  const failed = await cloud.verdict(serviceId, 2)
  expect(failed.status).toMatchObject({
    phase: 'failed',
    failure: { outcome: 'failed', refused: true, reason: expect.stringContaining(`${second} has no signature`) },
  })
  expect(failed.status.history.map(({ message }) => message).join(' ')).not.toContain('healthy')
  expect(await answerOf(port)).toBe('version 1')
})

test('a signature by another key changes nothing but the reason', async () => {
  await pushArtifact(signatureArtifact([simpleLayer(mallory, simplePayload(second))]), signatureTag(second))
  await cloud.service(serviceId, ({ status }) => status.message.includes('by none of the keys'), 'the new reason')
  expect(await answerOf(port)).toBe('version 1')
})

test('the signature, as a bundle that refers to the image, lets it run', async () => {
  const size = Number((await registry('HEAD', `manifests/${second}`)).headers.get('content-length'))
  const subject = { mediaType: 'application/vnd.docker.distribution.manifest.v2+json', digest: second, size }
  await pushArtifact(bundleArtifact(bundleOf(alice, second), subject))
  const served = await cloud.service(
    serviceId,
    ({ status }) => status.state === 'running' && status.currentRevisionNumber === 2,
    'version 2 to run',
  )
  expect(served.status).not.toHaveProperty('awaitingSignature')
  expect(await answerOf(port)).toBe('version 2')
})

test('going back is refused where the keys of today do not know the earlier version', async () => {
  const data = { admission: { signedBy: [makeSigner().publicKey] } }
  await cloud.client.services.update({ params: { id: serviceId }, body: { data } })
  const { items } = await cloud.client.revisions.list({ query: { serviceId } })
  const revisionId = items.find(({ data: { number } }) => number === 1)?.id ?? ''
  await cloud.client.services.deploy({ params: { id: serviceId }, body: { revisionId } })
  const failed = await cloud.verdict(serviceId, 1)
  expect(failed.status).toMatchObject({ phase: 'failed', failure: { refused: true } })
  expect(await answerOf(port)).toBe('version 2')
})

function waitingFor(digest: string) {
  return cloud.service(
    serviceId,
    ({ status }) => status.awaitingSignature?.digest === digest && status.message.includes('Waiting for a signature.'),
    'the service to wait for a signature',
  )
}

/** As cosign pushes: the blobs, then the manifest, by tag or by its digest. */
async function pushArtifact({ manifest, digest, blobs }: Artifact, tag?: string): Promise<void> {
  for (const blob of blobs) await registry('POST', `blobs/uploads/?digest=${digestOf(blob)}`, { body: blob })
  const headers = { 'content-type': 'application/vnd.oci.image.manifest.v1+json' }
  await registry('PUT', `manifests/${tag ?? digest}`, { body: manifest, headers })
}

async function registry(method: string, path: string, request: { body?: string | Buffer; headers?: object } = {}) {
  const { username, password } = labAdministrator()
  const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
  const response = await fetch(`${freehold.url}/v2/${repository}/${path}`, {
    method,
    headers: { authorization, ...request.headers },
    ...(request.body === undefined ? {} : { body: request.body }),
  } as RequestInit)
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`)
  return response
}

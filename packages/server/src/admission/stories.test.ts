import { imageKind, type Service } from '@freehold/contracts'
import { afterEach, beforeEach, expect, it } from 'vitest'
import {
  addCluster,
  makeService,
  openWorld,
  registryHost,
  rolloutsOf,
  serviceNow,
  startSwarm,
  type TestSwarm,
  tester,
  until,
  type World,
} from '../reconcilers/world.testing.ts'
import { pushDirectly } from '../registry/push.testing.ts'
import { deployService, updateService } from '../services/index.ts'
import {
  type Artifact,
  artifact,
  bundleArtifact,
  bundleOf,
  makeSigner,
  type Signer,
  signatureArtifact,
  signatureTag,
  simpleLayer,
  simplePayload,
} from './signing.testing.ts'

/** A service that runs only what is signed, over the real store, jobs, agent link and blobs. */
let world: World
let swarm: TestSwarm
let clusterId: string
const alice = makeSigner()
const mallory = makeSigner()
const admission = { signedBy: [alice.publicKey], annotations: {}, requireDigest: false }

beforeEach(async () => {
  world = await openWorld()
  const cluster = await addCluster(world)
  clusterId = cluster.cluster.id
  swarm = startSwarm(world, cluster)
})
afterEach(async () => {
  swarm.close()
  await world.close()
  expect(world.failures).toEqual([])
})

const store = (repository: string, { manifest, blobs }: Artifact, tags: string[]) =>
  pushDirectly(world, { repository, manifest, blobs, tags, actor: tester })

async function repositoryOf(service: Service): Promise<string> {
  return (await world.store.get(imageKind, service.data.imageId ?? ''))?.data.name ?? ''
}

/** `docker push`; answers the image's digest. */
async function push(service: Service, sign: string): Promise<string> {
  const layers = [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', content: Buffer.from(sign) }]
  const image = artifact({ layers, configType: 'application/vnd.oci.image.config.v1+json' })
  await store(await repositoryOf(service), image, ['latest'])
  return image.digest
}

/** `cosign sign`. */
async function sign(service: Service, digest: string, signer: Signer = alice): Promise<void> {
  const signature = signatureArtifact([simpleLayer(signer, simplePayload(digest))])
  await store(await repositoryOf(service), signature, [signatureTag(digest)])
}

const running = (id: string, revision: number) =>
  until(
    () => serviceNow(world, id),
    ({ status }) => status.state === 'running' && status.currentRevisionNumber === revision,
  )
const seen = (id: string, part: string) =>
  until(
    () => serviceNow(world, id),
    ({ status }) => status.message.includes(part),
  )
const verdict = (id: string, count: number) =>
  until(
    async () => (await rolloutsOf(world, id)).at(count - 1),
    (rollout) => rollout !== undefined && ['succeeded', 'failed', 'aborted'].includes(rollout.status.phase),
  )
const change = (id: string, part: Record<string, unknown>) =>
  world.store.transaction(tester, async (transaction) => {
    const { data } = await serviceNow(world, id)
    return updateService(transaction, { id, data: { ...data, ...part } }, world.rules)
  })
const deploy = (input: { id: string; revisionId?: string }) =>
  world.store.transaction(tester, (transaction) => deployService(transaction, input, world.rules))

it('waits with a push until it is signed, says so, and lets what runs run', async () => {
  const service = await makeService(world, { clusterId, admission })
  const first = await push(service, 'one')
  const waiting = await seen(service.id, 'Waiting for a signature.')
  expect(waiting.status).toMatchObject({
    state: 'waiting-for-image',
    awaitingSignature: { digest: first },
    rolloutId: null,
  })
  await sign(service, first, mallory)
  await seen(service.id, 'by none of the keys')
  await sign(service, first)
  const served = await running(service.id, 1)
  expect(served.status).not.toHaveProperty('awaitingSignature')
  const [rollout] = await rolloutsOf(world, service.id)
  expect(rollout?.data.trigger).toBe('push')
  expect(rollout?.status.history.map(({ message }) => message)).toEqual(
    expect.arrayContaining([expect.stringMatching(/^Signed by the key [0-9a-f]{16}\.$/)]),
  )

  const second = await push(service, 'two')
  const held = await seen(service.id, `Waiting for a signature. ${second}`)
  expect(held.status).toMatchObject({ state: 'running', currentRevisionNumber: 1 })
  expect(await rolloutsOf(world, service.id)).toHaveLength(1)
  const repository = await repositoryOf(service)
  const subject = { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: second, size: 1 }
  await store(repository, bundleArtifact(bundleOf(alice, second), subject), [])
  await running(service.id, 2)
  expect(swarm.ran.every((workloads) => workloads.every(({ revision }) => revision <= 2))).toBe(true)
})

it('fails a deploy of an unsigned image at once with the reason, and rolls it out when the signature comes', async () => {
  const service = await makeService(world, { clusterId, admission })
  await sign(service, await push(service, 'one'))
  await running(service.id, 1)
  const second = await push(service, 'two')
  await seen(service.id, 'Waiting for a signature.')
  await deploy({ id: service.id })
  const failed = await verdict(service.id, 2)
  expect(failed?.status).toMatchObject({
    phase: 'failed',
    failure: { outcome: 'failed', refused: true, reason: expect.stringContaining(`${second} has no signature`) },
  })
  expect(failed?.status.message).toMatch(/Nothing of it was started; revision 1 (serves|was left as it was)\.$/)
  const after = await running(service.id, 1)
  expect(after.status.message).toContain('The rollout of revision 2 failed: ')
  expect(swarm.ran.flat().every(({ revision }) => revision === 1)).toBe(true)
  await sign(service, second)
  await running(service.id, 2)
})

it('fails without any agent too, and the first rollout of an unsigned image runs nothing', async () => {
  const other = await addCluster(world, 'away')
  const service = await makeService(world, { clusterId: other.cluster.id, admission })
  await push(service, 'one')
  await until(
    () => serviceNow(world, service.id),
    ({ status }) => status.awaitingSignature !== undefined,
  )
  await deploy({ id: service.id })
  const failed = await verdict(service.id, 1)
  expect(failed?.status).toMatchObject({ phase: 'failed', previousServes: null })
  expect(failed?.status.message).toContain('there was no revision before it')
  expect((await serviceNow(world, service.id)).status.currentRevisionId).toBeNull()
})

it('keeps the image that serves where something else is edited while a push waits', async () => {
  const service = await makeService(world, { clusterId, admission })
  const first = await push(service, 'one')
  await sign(service, first)
  await running(service.id, 1)
  const second = await push(service, 'two')
  await seen(service.id, 'Waiting for a signature.')
  await change(service.id, { scaleFactor: 2 })
  expect(await rolloutsOf(world, service.id)).toHaveLength(1)
  await change(service.id, { environment: { GREETING: 'hello' } })
  await running(service.id, 2)
  expect(swarm.agent.desired()?.workloads[0]?.spec).toMatchObject({
    image: expect.stringContaining(first),
    environment: { GREETING: 'hello' },
  })
  await sign(service, second)
  await running(service.id, 3)
  expect(swarm.agent.desired()?.workloads[0]?.spec).toMatchObject({
    image: expect.stringContaining(second),
    environment: { GREETING: 'hello' },
  })
})

it('verifies again when it goes back, by the keys of today', async () => {
  const service = await makeService(world, { clusterId, admission })
  await sign(service, await push(service, 'one'))
  await running(service.id, 1)
  const second = await push(service, 'two')
  await sign(service, second, mallory)
  await seen(service.id, 'by none of the keys')
  await change(service.id, { admission: { ...admission, signedBy: [mallory.publicKey] } })
  const { status } = await running(service.id, 2)
  const [first] = await rolloutsOf(world, service.id)
  await deploy({ id: service.id, revisionId: first?.data.revisionId ?? '' })
  expect((await verdict(service.id, 3))?.status).toMatchObject({ phase: 'failed', failure: { refused: true } })
  expect((await serviceNow(world, service.id)).status.currentRevisionId).toBe(status.currentRevisionId)
  await change(service.id, { admission: { ...admission, signedBy: [mallory.publicKey, alice.publicKey] } })
  await deploy({ id: service.id, revisionId: first?.data.revisionId ?? '' })
  await running(service.id, 1)
})

it('goes on with an image that was refused once nothing is demanded any more', async () => {
  const service = await makeService(world, { clusterId, admission })
  await push(service, 'one')
  await seen(service.id, 'Waiting for a signature.')
  await deploy({ id: service.id })
  await verdict(service.id, 1)
  const { admission: _rule, ...data } = (await serviceNow(world, service.id)).data
  await world.store.transaction(tester, (transaction) =>
    updateService(transaction, { id: service.id, data }, world.rules),
  )
  await running(service.id, 1)
})

it('does not let an unsigned revision become what serves by scaling to 0', async () => {
  const service = await makeService(world, { clusterId, admission, scaleFactor: 0 })
  await push(service, 'one')
  await until(
    () => serviceNow(world, service.id),
    ({ status }) => status.awaitingSignature !== undefined,
  )
  await deploy({ id: service.id })
  expect((await verdict(service.id, 1))?.status.phase).toBe('failed')
  expect((await serviceNow(world, service.id)).status.currentRevisionId).toBeNull()
})

it('demands a digest where the rule says so, at every door', async () => {
  const pinned = { signedBy: [], annotations: {}, requireDigest: true }
  await expect(makeService(world, { clusterId, admission: pinned })).rejects.toThrow(/imageVersion: .*latest is a tag/)
  const service = await makeService(world, { clusterId })
  const first = await push(service, 'one')
  await running(service.id, 1)
  await expect(change(service.id, { admission: pinned })).rejects.toMatchObject({ code: 'invalid-input' })
  await change(service.id, { admission: pinned, imageVersion: first })
  const byTag = world.store.transaction(tester, (transaction) =>
    deployService(transaction, { id: service.id, imageVersion: 'latest' }, world.rules),
  )
  await expect(byTag).rejects.toThrow(/is a tag/)
  await push(service, 'two')
  await change(service.id, { description: 'looked at once more' })
  expect((await running(service.id, 1)).data.imageVersion).toBe(first)
  expect(await rolloutsOf(world, service.id)).toHaveLength(1)
  expect(swarm.agent.desired()?.workloads[0]?.spec.image).toBe(
    `${registryHost}/${await repositoryOf(service)}@${first}`,
  )
})

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { admissionSchema } from '@freehold/contracts'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createRegistryContent } from '../registry/index.ts'
import {
  ociIndex,
  ociManifest,
  pushBlob,
  pushImage,
  putManifest,
  startTestRegistry,
  type TestRegistry,
} from '../registry/testing.ts'
import { createJudge, type Judge } from './judge.ts'
import {
  type Artifact,
  bundleArtifact,
  bundleOf,
  type Descriptor,
  digestOf,
  type Layer,
  makeSigner,
  signatureArtifact,
  signatureTag,
  simpleLayer,
  simplePayload,
} from './signing.testing.ts'
import { payloadLimitBytes } from './simple-signing.ts'

let registry: TestRegistry
let judge: Judge
const alice = makeSigner()
const mallory = makeSigner()
let repositories = 0

beforeAll(async () => {
  registry = await startTestRegistry()
  const content = createRegistryContent({ reads: registry.store, blobs: registry.blobs })
  judge = createJudge({ content, registryHost: () => registry.host })
})
afterAll(() => registry.remove())

async function pushArtifact(repository: string, artifact: Artifact, tag?: string): Promise<void> {
  for (const blob of artifact.blobs) await pushBlob(registry, repository, blob)
  const response = await putManifest(registry, repository, tag ?? artifact.digest, artifact.manifest)
  if (response.status !== 201) throw new Error(`The artifact was refused: ${await response.text()}`)
}

/** An image in a repository of its own, and what its judge says with Alice's key alone. */
async function image() {
  repositories += 1
  const repository = `team/app-${repositories}`
  const { digest, manifest } = await pushImage(registry, repository, 'latest', `layer ${repositories}`)
  const subject: Descriptor = { mediaType: ociManifest, digest, size: Buffer.byteLength(manifest) }
  const layer = (signer = alice, of = digest) => simpleLayer(signer, simplePayload(of))
  return {
    repository,
    digest,
    subject,
    layer,
    tag: (layers: readonly Layer[]) => pushArtifact(repository, signatureArtifact(layers), signatureTag(digest)),
    verdict: (of = digest) =>
      judge({
        admission: admissionSchema.parse({ signedBy: [alice.publicKey] }),
        reference: `${registry.host}/${repository}@${of}`,
        digest: of,
      }),
  }
}

describe('an image is admitted', () => {
  it('by a signature at its tag', async () => {
    const { tag, layer, verdict } = await image()
    await tag([layer()])
    expect(await verdict()).toEqual({
      admitted: true,
      message: expect.stringMatching(/^Signed by the key [0-9a-f]{16}\.$/),
    })
  })

  it('by one signature of several', async () => {
    const { tag, layer, verdict } = await image()
    await tag([layer(mallory), { mediaType: 'text/plain', content: Buffer.from('x') }, layer()])
    expect(await verdict()).toMatchObject({ admitted: true })
  })

  it('by a referrer of the same layout', async () => {
    const { repository, subject, layer, verdict } = await image()
    await pushArtifact(repository, signatureArtifact([layer()], subject))
    expect(await verdict()).toMatchObject({ admitted: true })
  })

  it('by a bundle that refers to it', async () => {
    const { repository, subject, digest, verdict } = await image()
    await pushArtifact(repository, bundleArtifact(bundleOf(mallory, digest), subject))
    expect(await verdict()).toMatchObject({ admitted: false, message: expect.stringContaining('by none of the keys') })
    await pushArtifact(repository, bundleArtifact(bundleOf(alice, digest), subject))
    expect(await verdict()).toMatchObject({ admitted: true })
  })

  it('with all that an index names, by a signature of the index; a child alone is not', async () => {
    const { repository, subject, verdict } = await image()
    const index = JSON.stringify({ schemaVersion: 2, mediaType: ociIndex, manifests: [subject] })
    const digest = digestOf(index)
    expect((await putManifest(registry, repository, 'all', index, ociIndex)).status).toBe(201)
    const signature = signatureArtifact([simpleLayer(alice, simplePayload(digest))])
    await pushArtifact(repository, signature, signatureTag(digest))
    expect(await verdict(digest)).toMatchObject({ admitted: true })
    expect(await verdict()).toMatchObject({ admitted: false })
  })
})

describe('an image is refused', () => {
  const refused = (part: string) => ({ admitted: false, message: expect.stringContaining(part) })

  it('without a signature, with what to do', async () => {
    const { repository, digest, verdict } = await image()
    const { message } = await verdict()
    expect(message).toMatch(/^sha256:\S+ has no signature; one by the key [0-9a-f]{16} is demanded\./)
    expect(message).toContain(`cosign sign --key cosign.key ${registry.host}/${repository}@${digest}`)
  })

  it('with a signature by another key', async () => {
    const { tag, layer, verdict } = await image()
    await tag([layer(mallory)])
    expect(await verdict()).toEqual(refused('does not count (it is by none of the keys)'))
  })

  it('with the signature of an older image, put at its own tag or made to refer to it', async () => {
    const old = await image()
    const { repository, subject, tag, verdict } = await image()
    await tag([old.layer()])
    await pushArtifact(repository, signatureArtifact([old.layer()], subject))
    await pushArtifact(repository, bundleArtifact(bundleOf(alice, old.digest), subject))
    expect(await verdict()).toEqual(refused('None of the 3 signatures'))
    expect(await verdict()).toEqual(refused('3 ×: it was made for another digest'))
  })

  it('with a payload that was changed after it was signed', async () => {
    const old = await image()
    const { tag, digest, verdict } = await image()
    const { signature } = { signature: alice.sign(simplePayload(old.digest)).toString('base64') }
    await tag([simpleLayer(alice, simplePayload(digest), signature)])
    expect(await verdict()).toEqual(refused('it is by none of the keys'))
  })

  it('with a signature that lies in another repository', async () => {
    const other = await image()
    const { layer, verdict, digest } = await image()
    await pushArtifact(other.repository, signatureArtifact([layer()]), signatureTag(digest))
    expect(await verdict()).toEqual(refused('has no signature'))
  })

  it('with what cannot be read, each with its reason', async () => {
    const { repository, tag, subject, layer, digest, verdict } = await image()
    const huge = Buffer.from(simplePayload(digest, { text: 'x'.repeat(payloadLimitBytes) }))
    const { annotations: _none, ...unsigned } = layer()
    await tag([simpleLayer(alice, huge), unsigned, simpleLayer(alice, simplePayload(digest, {}), 'no base64!')])
    await pushArtifact(repository, bundleArtifact(Buffer.from('{'), subject))
    const { message } = await verdict()
    expect(message).toContain('None of the 4 signatures')
    expect(message).toContain('2 ×: its signature is not base64')
    expect(message).toContain('1 ×: what was signed is missing, damaged or too large')
  })

  it('where the stored payload is damaged', async () => {
    const { tag, layer, digest, verdict } = await image()
    const payload = digestOf(layer().content).slice('sha256:'.length)
    await tag([layer()])
    const file = join(registry.directory, 'blobs/blobs/sha256', payload.slice(0, 2), payload)
    await writeFile(
      file,
      simplePayload(
        digest.replace(/.$/, (last) => (last === '0' ? '1' : '0')),
        {},
      ),
    )
    expect(await verdict()).toEqual(refused('missing, damaged or too large'))
  })

  it('where only the first hundred of very many could be read', async () => {
    const { tag, layer, verdict } = await image()
    await tag([...Array.from({ length: 100 }, () => layer(mallory)), layer()])
    expect(await verdict()).toEqual(refused('None of the first 100 signatures'))
  })

  it('where its digest was never pushed, and where it lies elsewhere', async () => {
    const { verdict } = await image()
    expect(await verdict(digestOf('nothing'))).toEqual(refused('is not in the registry'))
    const admission = admissionSchema.parse({ signedBy: [alice.publicKey] })
    const tagged = { admission, reference: 'docker.io/library/nginx:1.27', digest: null }
    expect(await judge(tagged)).toEqual(refused('those of docker.io/library/nginx lie in another registry'))
  })
})

it('admits anything where nothing is demanded', async () => {
  const reference = 'docker.io/library/nginx:1'
  expect(await judge({ admission: undefined, reference, digest: null })).toMatchObject({ admitted: true })
  const admission = admissionSchema.parse({ requireDigest: true })
  expect(await judge({ admission, reference, digest: null })).toMatchObject({ admitted: true })
})

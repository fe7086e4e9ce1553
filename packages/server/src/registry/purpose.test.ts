import { describe, expect, it } from 'vitest'
import { attachedBy, attachingTags, purposeOf, referrersTag } from './purpose.ts'
import { ociIndex, ociManifest } from './testing.ts'

const config = 'application/vnd.oci.image.config.v1+json'
const purpose = (artifactType: string | null, extra: object = {}) =>
  purposeOf({ mediaType: ociManifest, artifactType, annotations: {}, ...extra })

describe('what a manifest is for', () => {
  it.each([
    [config, 'image'],
    ['application/vnd.docker.container.image.v1+json', 'image'],
    ['application/vnd.dev.cosign.artifact.sig.v1+json', 'signature'],
    ['application/vnd.cncf.notary.signature', 'signature'],
    ['application/vnd.dev.sigstore.bundle.v0.3+json', 'signature'],
    ['application/spdx+json', 'sbom'],
    ['application/vnd.cyclonedx+json', 'sbom'],
    ['application/vnd.in-toto+json', 'attestation'],
    ['application/vnd.example.chart', 'artifact'],
    [null, 'artifact'],
  ])('is told by the artifact type %s: %s', (artifactType, expected) => {
    expect(purpose(artifactType)).toBe(expected)
  })

  it('is an index by its media type, whatever it holds', () => {
    expect(purpose(null, { mediaType: ociIndex })).toBe('index')
    expect(purpose(null, { mediaType: 'application/vnd.docker.distribution.manifest.list.v2+json' })).toBe('index')
  })

  it('is told by the statement inside a bundle', () => {
    const bundle = 'application/vnd.dev.sigstore.bundle.v0.3+json'
    const stating = (predicate: string) =>
      purpose(bundle, { annotations: { 'dev.sigstore.bundle.predicateType': predicate } })
    expect(stating('https://sigstore.dev/cosign/sign/v1')).toBe('signature')
    expect(stating('https://spdx.dev/Document')).toBe('sbom')
    expect(stating('https://slsa.dev/provenance/v1')).toBe('attestation')
  })

  it('is told by the tag where cosign makes a signature look like an image', () => {
    const hex = 'a'.repeat(64)
    expect(purposeOf({ mediaType: ociManifest, artifactType: config, annotations: {} }, [`sha256-${hex}.sig`])).toBe(
      'signature',
    )
    expect(purposeOf({ mediaType: ociManifest, artifactType: config, annotations: {} }, ['v1.sig'])).toBe('image')
  })

  it('is an attestation where BuildKit says that the platform is unknown', () => {
    expect(purpose(config, { platforms: ['unknown/unknown'] })).toBe('attestation')
    expect(purpose(config, { platforms: ['linux/amd64'] })).toBe('image')
  })
})

it('attaching tags name the manifest they are about, and no other tag does', () => {
  const digest = `sha256:${'0'.repeat(64)}`
  for (const { tag, purpose: expected } of attachingTags(digest)) {
    expect(attachedBy(tag)).toEqual({ digest, purpose: expected })
  }
  expect(attachedBy(`sha256-${'0'.repeat(64)}`)).toEqual({ digest, purpose: 'index' })
  for (const tag of ['latest', 'sha256-abc.sig', `sha1-${'0'.repeat(64)}`]) expect(attachedBy(tag)).toBeUndefined()
})

it('the referrers tag holds 64 hexadecimal characters at most', () => {
  expect(referrersTag(`sha256:${'0'.repeat(64)}`)).toBe(`sha256-${'0'.repeat(64)}`)
  expect(referrersTag(`sha512:${'01'.repeat(64)}`)).toBe(`sha512-${'01'.repeat(32)}`)
})

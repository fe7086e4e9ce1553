import type { ManifestPurpose } from '@freehold/contracts'

const cosignSuffixes = { sig: 'signature', att: 'attestation', sbom: 'sbom' } as const
const subjectTag = /^(sha256|sha512)-([0-9a-f]{64}|[0-9a-f]{128})(?:\.([A-Za-z0-9._-]+))?$/

/**
 * The digest a tag of this form is about: cosign's `sha256-<hex>.sig` and its like, and the referrers tag `sha256-<hex>`
 * (OCI Distribution 1.1, "Referrers Tag Schema", which cuts the hexadecimal form at 64 characters).
 */
export function parseSubjectTag(tag: string): { digest: string; suffix: string | undefined } | undefined {
  const [, algorithm, hex, suffix] = subjectTag.exec(tag) ?? []
  return algorithm === undefined || hex === undefined ? undefined : { digest: `${algorithm}:${hex}`, suffix }
}

/** The manifest a tag attaches something to, and what, as far as its form tells. */
export function attachedBy(tag: string): { digest: string; purpose: ManifestPurpose } | undefined {
  const { digest, suffix } = parseSubjectTag(tag) ?? {}
  if (digest === undefined) return undefined
  if (suffix === undefined) return { digest, purpose: 'index' }
  const purpose = Object.entries(cosignSuffixes).find(([known]) => known === suffix)?.[1]
  return purpose && { digest, purpose }
}

/** The tags by which cosign attaches things to a manifest, with what each is for. */
export function attachingTags(digest: string): { tag: string; purpose: ManifestPurpose }[] {
  return Object.entries(cosignSuffixes).map(([suffix, purpose]) => ({
    tag: `${digest.replace(':', '-')}.${suffix}`,
    purpose,
  }))
}

/** The tag of the referrers tag schema, which clients write where a registry has no referrers API. */
export function referrersTag(digest: string): string {
  const [algorithm = '', hex = ''] = digest.split(':')
  return `${algorithm}-${hex.slice(0, 64)}`
}

/**
 * What a manifest is for, as far as its media types, artifact type and annotations tell. `tags` are those that name it:
 * cosign's signatures look like images and are told by their tags alone.
 */
export function purposeOf(
  manifest: {
    mediaType: string
    artifactType: string | null
    annotations: Record<string, string>
    platforms?: readonly string[] | undefined
  },
  tags: readonly string[] = [],
): ManifestPurpose {
  for (const tag of tags) {
    const attached = attachedBy(tag)
    if (attached !== undefined && attached.purpose !== 'index') return attached.purpose
  }
  if (/\.(index|list)\.v/.test(manifest.mediaType)) return 'index'
  const type = (manifest.artifactType ?? '').toLowerCase()
  const predicate = (manifest.annotations['dev.sigstore.bundle.predicateType'] ?? '').toLowerCase()
  if (isSbom(type) || isSbom(predicate)) return 'sbom'
  if (type.includes('cosign.artifact.sig') || type.includes('notary.signature')) return 'signature'
  if (type.includes('sigstore.bundle')) return isSigning(predicate) ? 'signature' : 'attestation'
  if (type.includes('in-toto') || type.includes('attestation') || type.includes('provenance')) return 'attestation'
  if (isConfigType(type)) return isUnknown(manifest.platforms) ? 'attestation' : 'image'
  return 'artifact'
}

const isSbom = (type: string) => /spdx|cyclonedx|sbom|syft/.test(type)
const isSigning = (predicate: string) => predicate === '' || predicate.includes('cosign/sign')
const isConfigType = (type: string) =>
  type.includes('oci.image.config.v1') || type.includes('docker.container.image.v1')
/** BuildKit gives the manifests that hold its attestations this platform. */
const isUnknown = (platforms: readonly string[] | undefined) => platforms?.[0]?.startsWith('unknown/') === true

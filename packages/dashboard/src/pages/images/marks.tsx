import type { Attachments, Deployment, HoldingRelease, ManifestPurpose } from '@freehold/contracts'
import { Link } from '@tanstack/react-router'
import { CopyButton } from '../../components/copy.tsx'
import { shortDigest } from '../../components/format.ts'
import { Tag } from '../../components/state.tsx'

/** Services that run it, those that may go back to it, and releases of devices that have it. */
export function Deployments({
  of: { deployments, releases },
  none = '–',
}: {
  of: { deployments: readonly Deployment[]; releases: readonly HoldingRelease[] }
  none?: string
}) {
  if (deployments.length + releases.length === 0) return <span className="text-muted">{none}</span>
  return (
    <span className="flex flex-wrap items-center gap-x-3 gap-y-1">
      {deployments.map(({ serviceId, serviceName, revisionNumber, current }) => (
        <Link
          key={serviceId}
          to="/services/$id"
          params={{ id: serviceId }}
          className="inline-flex items-center gap-1.5 hover:underline"
          title={
            current
              ? `Revision ${revisionNumber} of ${serviceName} runs it`
              : `Revision ${revisionNumber} of ${serviceName} is kept to go back to`
          }
        >
          <span className={current ? 'font-medium' : 'text-muted'}>{serviceName}</span>
          <Tag tone={current ? 'good' : 'idle'}>{current ? 'running' : 'kept'}</Tag>
        </Link>
      ))}
      {releases.map(({ releaseId, product, version, deviceType }) => (
        <Link
          key={releaseId}
          to="/releases/$id"
          params={{ id: releaseId }}
          className="inline-flex items-center gap-1.5 hover:underline"
          title={`Devices run it with this release, or may${deviceType === null ? '' : ` (${deviceType})`}`}
        >
          <span className="font-medium">
            release {product} {version}
          </span>
        </Link>
      ))}
    </span>
  )
}

/** What is attached: signatures, SBOMs, attestations. */
export function Attached({ attachments }: { attachments: Attachments }) {
  const { signatures, sboms, attestations } = attachments
  return (
    <>
      {signatures > 0 && <Tag tone="good">signed</Tag>}
      {sboms > 0 && <Tag tone="moving">SBOM</Tag>}
      {attestations > 0 && <Tag tone="moving">attested</Tag>}
    </>
  )
}

/** What a manifest is for, where it is not just an image. */
export function Purpose({ purpose }: { purpose: ManifestPurpose }) {
  return purpose === 'image' ? null : <Tag>{purposeNames[purpose]}</Tag>
}

export const purposeNames: Record<ManifestPurpose, string> = {
  image: 'image',
  index: 'multi-platform',
  signature: 'signature',
  sbom: 'SBOM',
  attestation: 'attestation',
  artifact: 'artifact',
}

/** A digest that opens its page, with a button that copies the whole of it. */
export function DigestLink({ imageId, digest }: { imageId: string; digest: string }) {
  return (
    <span className="flex items-center gap-0.5">
      <Link
        to="/images/$id/$digest"
        params={{ id: imageId, digest }}
        title={digest}
        className="font-mono text-xs whitespace-nowrap text-muted hover:text-ink hover:underline"
      >
        {shortDigest(digest)}
      </Link>
      <CopyButton text={digest} label={`Copy digest ${shortDigest(digest)}`} />
    </span>
  )
}

export function Platforms({ platforms }: { platforms: readonly string[] }) {
  if (platforms.length === 0) return <span className="text-muted">–</span>
  const [first, ...others] = platforms
  return (
    <span className="text-muted" title={platforms.join(', ')}>
      {first}
      {others.length === 1 ? `, ${others[0]}` : others.length > 1 ? ` and ${others.length} more` : ''}
    </span>
  )
}

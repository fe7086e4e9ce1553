import type { ManifestDetail } from '@freehold/contracts'
import { getRouteApi, Link, useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { OnePage } from '../../app/one-page.tsx'
import { useMay } from '../../app/session.ts'
import { Button } from '../../components/button.tsx'
import { Command, CopyButton } from '../../components/copy.tsx'
import { bytes, plural, shortDigest } from '../../components/format.ts'
import { Facts, Page, Section } from '../../components/page.tsx'
import { Tag } from '../../components/state.tsx'
import { defineColumns, Table } from '../../components/table.tsx'
import { Ago } from '../../components/time.tsx'
import { useManifest } from './contents.ts'
import { DeleteContentsDialog } from './delete-contents.tsx'
import { Attached, Deployments, DigestLink, Purpose, purposeNames } from './marks.tsx'
import { usePullName } from './pull.tsx'

const route = getRouteApi('/shell/images/$id/$digest')

/** One manifest: what it is made of, what is said of it, and what runs it. */
export function DigestPage() {
  const { id, digest } = route.useParams()
  const manifest = useManifest(id, digest)
  return (
    <OnePage
      query={manifest}
      title={shortDigest(digest)}
      what="manifest"
      list={{ to: '/images', label: 'Images' }}
      gone={['not-found', 'invalid-input']}
    >
      {(manifest) => <Loaded imageId={id} detail={manifest} />}
    </OnePage>
  )
}

function Loaded({ imageId, detail }: { imageId: string; detail: ManifestDetail }) {
  const mayDelete = useMay()('images:push')
  const navigate = useNavigate()
  const pullName = usePullName(detail.repository)
  const [isDeleting, setDeleting] = useState(false)
  const { config, layers, children, referrers } = detail
  return (
    <Page
      title={shortDigest(detail.digest)}
      parent={{ to: '/images/$id', params: { id: imageId }, label: detail.repository }}
      mark={
        <>
          <Purpose purpose={detail.purpose} />
          <Attached attachments={detail.attachments} />
        </>
      }
      actions={
        mayDelete && (
          <Button look="danger" onClick={() => setDeleting(true)}>
            Delete
          </Button>
        )
      }
    >
      <About imageId={imageId} detail={detail} />
      {(detail.purpose === 'image' || detail.purpose === 'index') && (
        <Command label="Pull command" text={`docker pull ${pullName(`@${detail.digest}`)}`} />
      )}
      {children.length > 0 && <Children imageId={imageId} detail={detail} />}
      {config !== null && <Config config={config} />}
      {layers.length > 0 && (
        <Section
          title={detail.purpose === 'image' ? 'Layers' : 'Contents'}
          lead={plural(detail.layerCount, detail.purpose === 'image' ? 'layer' : 'blob')}
          flush
        >
          <Table
            label={detail.purpose === 'image' ? 'Layers' : 'Contents'}
            rows={layers.map((layer, index) => ({ ...layer, index }))}
            rowId={({ index }) => String(index)}
            columns={layerColumns}
          />
        </Section>
      )}
      {referrers.length > 0 && <Referrers imageId={imageId} detail={detail} />}
      <Pairs title="Annotations" pairs={detail.annotations} />
      {config !== null && <Pairs title="Labels" pairs={config.labels} />}
      {isDeleting && (
        <DeleteContentsDialog
          imageId={imageId}
          name={detail.repository}
          wanted={{ tags: [], manifests: [detail.digest] }}
          onClose={() => setDeleting(false)}
          onDone={() => void navigate({ to: '/images/$id', params: { id: imageId } })}
        />
      )}
    </Page>
  )
}

function About({ imageId, detail }: { imageId: string; detail: ManifestDetail }) {
  const { tags, subject, parents } = detail
  return (
    <Section title="About">
      <div className="flex min-w-0 items-center gap-1">
        <code className="min-w-0 font-mono text-xs break-all">{detail.digest}</code>
        <CopyButton text={detail.digest} label="Copy digest" />
      </div>
      <Facts
        facts={[
          [
            'Tags',
            tags.length === 0 ? (
              'none'
            ) : (
              <code className="font-mono text-xs break-all" key="tags">
                {tags.join(', ')}
              </code>
            ),
          ],
          ['Runs in', <Deployments key="runs" of={detail} none="nothing" />],
          ['Size', bytes(detail.sizeBytes)],
          ['Platforms', detail.platforms.join(', ') || '–'],
          [
            'First pushed',
            <span key="pushed">
              <Ago at={detail.pushedAt} /> by {detail.pushedBy}
            </span>,
          ],
          [
            'Media type',
            <code className="font-mono text-xs break-all" key="type">
              {detail.artifactType ?? detail.mediaType}
            </code>,
          ],
          ...(subject === null
            ? []
            : [['About', <DigestLink key="about" imageId={imageId} digest={subject} />] as const]),
          ...(parents.length === 0
            ? []
            : [
                [
                  'Part of',
                  <span key="parents" className="flex flex-col">
                    {parents.map((parent) => (
                      <DigestLink key={parent} imageId={imageId} digest={parent} />
                    ))}
                  </span>,
                ] as const,
              ]),
        ]}
      />
    </Section>
  )
}

function Config({ config }: { config: NonNullable<ManifestDetail['config']> }) {
  const code = (text: string) => (text === '' ? '–' : <code className="font-mono text-xs break-all">{text}</code>)
  return (
    <Section title="Config">
      <Facts
        facts={[
          ['Entrypoint', code(config.entrypoint.join(' '))],
          ['Command', code(config.command.join(' '))],
          ['Working directory', code(config.workingDirectory ?? '')],
          ['User', code(config.user ?? '')],
          ['Ports', code(config.exposedPorts.join(', '))],
          ['Volumes', code(config.volumes.join(', '))],
          ['Built', config.createdAt === null ? '–' : <Ago key="built" at={config.createdAt} />],
          ['Environment, names only', code(config.environmentNames.join(', '))],
        ]}
      />
    </Section>
  )
}

const layerColumns = defineColumns<ManifestDetail['layers'][number] & { index: number }>([
  { id: 'index', header: '#', cell: ({ index }) => <span className="text-muted">{index + 1}</span> },
  {
    id: 'digest',
    header: 'Digest',
    cell: ({ digest }) => (
      <code className="font-mono text-xs whitespace-nowrap" title={digest}>
        {shortDigest(digest)}
      </code>
    ),
  },
  {
    id: 'type',
    header: 'Media type',
    from: 'md',
    cell: ({ mediaType }) => <code className="font-mono text-xs break-all text-muted">{mediaType}</code>,
  },
  { id: 'size', header: 'Size', align: 'right', cell: ({ sizeBytes }) => bytes(sizeBytes) },
])

function Children({ imageId, detail }: { imageId: string; detail: ManifestDetail }) {
  return (
    <Section title="Platforms" lead={plural(detail.childCount, 'manifest')} flush>
      <ul className="divide-y divide-line overflow-hidden rounded-lg border border-line bg-surface">
        {detail.children.map((child) => (
          <li key={child.digest} className="flex flex-wrap items-center gap-x-3 gap-y-1 px-4 py-2 text-sm">
            <span className="min-w-32 font-medium">{child.platform ?? purposeNames[child.purpose]}</span>
            {child.present ? (
              <DigestLink imageId={imageId} digest={child.digest} />
            ) : (
              <>
                <code className="font-mono text-xs text-muted">{shortDigest(child.digest)}</code>
                <Tag tone="warn">not here</Tag>
              </>
            )}
          </li>
        ))}
      </ul>
    </Section>
  )
}

function Referrers({ imageId, detail }: { imageId: string; detail: ManifestDetail }) {
  return (
    <Section title="Referrers" lead="Signatures, SBOMs and other things attached to it" flush>
      <ul className="divide-y divide-line overflow-hidden rounded-lg border border-line bg-surface">
        {detail.referrers.map((referrer) => (
          <li key={referrer.digest} className="flex flex-wrap items-center gap-x-3 gap-y-1 px-4 py-2 text-sm">
            <Tag tone={referrer.purpose === 'signature' ? 'good' : 'moving'}>{purposeNames[referrer.purpose]}</Tag>
            <Link
              to="/images/$id/$digest"
              params={{ id: imageId, digest: referrer.digest }}
              className="font-mono text-xs hover:underline"
            >
              {shortDigest(referrer.digest)}
            </Link>
            <code className="min-w-0 flex-1 basis-40 font-mono text-xs break-all text-muted">
              {referrer.artifactType ?? referrer.mediaType}
            </code>
            <span className="text-xs text-muted">
              {bytes(referrer.sizeBytes)} · <Ago at={referrer.pushedAt} /> by {referrer.pushedBy}
            </span>
          </li>
        ))}
      </ul>
    </Section>
  )
}

function Pairs({ title, pairs }: { title: string; pairs: Record<string, string> }) {
  const entries = Object.entries(pairs)
  if (entries.length === 0) return null
  return (
    <Section title={title}>
      <dl className="flex flex-col gap-2">
        {entries.map(([name, value]) => (
          <div key={name} className="flex flex-wrap gap-x-3 gap-y-0.5 text-xs">
            <dt className="font-mono break-all text-muted">{name}</dt>
            <dd className="font-mono break-all">{value}</dd>
          </div>
        ))}
      </dl>
    </Section>
  )
}

import type { Image, ImageManifest } from '@freehold/contracts'
import { useMemo, useState } from 'react'
import { useMay } from '../../app/session.ts'
import { IconButton } from '../../components/button.tsx'
import { ErrorNote } from '../../components/error-note.tsx'
import { bytes, shortDigest } from '../../components/format.ts'
import { TrashIcon } from '../../components/icons.tsx'
import { Empty, Skeleton } from '../../components/page.tsx'
import { type Column, defineColumns, Table } from '../../components/table.tsx'
import { Ago } from '../../components/time.tsx'
import { useManifests } from './contents.ts'
import { DeleteContentsDialog } from './delete-contents.tsx'
import { Attached, Deployments, DigestLink, Platforms, Purpose } from './marks.tsx'

const manifestId = ({ digest }: ImageManifest) => digest

/** Every manifest of an image, with and without tags. */
export function Manifests({ image }: { image: Image }) {
  const mayDelete = useMay()('images:push')
  const manifests = useManifests(image.id)
  const [deleting, setDeleting] = useState<string | null>(null)
  const columns = useMemo(
    () => defineColumns<ImageManifest>([...columnsOf(image.id), ...(mayDelete ? [deletion(setDeleting)] : [])]),
    [image.id, mayDelete],
  )
  return (
    <>
      <ErrorNote error={manifests.error} onRetry={manifests.retry} />
      {manifests.isPending ? (
        <Skeleton rows={6} />
      ) : manifests.items.length > 0 ? (
        <Table label="Manifests" rows={manifests.items} rowId={manifestId} columns={columns} more={manifests.more} />
      ) : (
        manifests.error === null && <Empty title="Nothing has been pushed yet." />
      )}
      {deleting !== null && (
        <DeleteContentsDialog
          imageId={image.id}
          name={image.data.name}
          wanted={{ tags: [], manifests: [deleting] }}
          onClose={() => setDeleting(null)}
          onDone={() => setDeleting(null)}
        />
      )}
    </>
  )
}

function columnsOf(imageId: string): Column<ImageManifest>[] {
  return [
    {
      id: 'digest',
      header: 'Digest',
      cell: ({ digest, purpose, attachments }) => (
        <span className="flex flex-wrap items-center gap-x-2 gap-y-1">
          <DigestLink imageId={imageId} digest={digest} />
          <Purpose purpose={purpose} />
          <Attached attachments={attachments} />
        </span>
      ),
    },
    {
      id: 'tags',
      header: 'Tags',
      cell: ({ tags }) =>
        tags.length === 0 ? (
          <span className="text-muted">none</span>
        ) : (
          <code className="inline-block sm:min-w-20 font-mono text-xs break-all">
            {tags.slice(0, 3).join(', ')}
            {tags.length > 3 && <span className="text-muted"> and {tags.length - 3} more</span>}
          </code>
        ),
    },
    { id: 'platforms', header: 'Platforms', from: 'md', cell: ({ platforms }) => <Platforms platforms={platforms} /> },
    {
      id: 'deployed',
      header: 'Runs in',
      from: 'md',
      cell: (manifest) => <Deployments of={manifest} />,
    },
    {
      id: 'size',
      header: 'Size',
      align: 'right',
      from: 'sm',
      cell: ({ sizeBytes }) => <span className="whitespace-nowrap">{bytes(sizeBytes)}</span>,
    },
    {
      id: 'pushed',
      header: 'First pushed',
      align: 'right',
      from: 'sm',
      cell: ({ pushedAt, pushedBy }) => (
        <span className="whitespace-nowrap text-muted">
          <Ago at={pushedAt} />
          <span className="max-lg:hidden"> by {pushedBy}</span>
        </span>
      ),
    },
  ]
}

function deletion(onDelete: (digest: string) => void): Column<ImageManifest> {
  return {
    id: 'delete',
    header: '',
    align: 'right',
    cell: ({ digest }) => (
      <IconButton label={`Delete ${shortDigest(digest)}`} onClick={() => onDelete(digest)}>
        <TrashIcon />
      </IconButton>
    ),
  }
}

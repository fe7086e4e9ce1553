import { ApiError } from '@freehold/client'
import type { Image, Service } from '@freehold/contracts'
import { useMutation } from '@tanstack/react-query'
import { getRouteApi, Link, useNavigate } from '@tanstack/react-router'
import { useMemo, useState } from 'react'
import { useClient } from '../../app/client.tsx'
import { Gone } from '../../app/fallbacks.tsx'
import { useList, useOne, wholePage } from '../../app/queries.ts'
import { useMay } from '../../app/session.ts'
import { Button } from '../../components/button.tsx'
import { Confirm } from '../../components/confirm.tsx'
import { CopyButton } from '../../components/copy.tsx'
import { ErrorNote } from '../../components/error-note.tsx'
import { bytes, shortDigest } from '../../components/format.ts'
import { Empty, Facts, Page, Quiet, Section, Skeleton } from '../../components/page.tsx'
import { State } from '../../components/state.tsx'
import { defineColumns, Table } from '../../components/table.tsx'
import { Ago } from '../../components/time.tsx'

const route = getRouteApi('/shell/images/$id')
type Version = Image['status']['versions'][number]

export function ImagePage() {
  const { id } = route.useParams()
  const image = useOne('images', id)
  if (image.data === null || (image.error instanceof ApiError && image.error.code === 'not-found')) {
    return <Gone what="image" to="/images" />
  }
  if (image.data === undefined) {
    return (
      <Page title="Image" parent={{ to: '/images', label: 'Images' }}>
        <ErrorNote error={image.error} onRetry={() => void image.refetch()} />
        {image.isPending && <Skeleton rows={8} />}
      </Page>
    )
  }
  return <Loaded image={image.data} />
}

function Loaded({ image }: { image: Image }) {
  const { data, status } = image
  const mayWrite = useMay()('images:write')
  const users = useList('services', { imageId: image.id, limit: wholePage })
  const [isDeleting, setDeleting] = useState(false)
  return (
    <Page
      title={data.name}
      parent={{ to: '/images', label: 'Images' }}
      {...(data.description === '' ? {} : { lead: data.description })}
      actions={
        mayWrite && (
          <Button look="danger" onClick={() => setDeleting(true)}>
            Delete
          </Button>
        )
      }
    >
      <Section title="About">
        <Facts
          facts={[
            [
              'Where it lives',
              data.location.internal ? (
                'this registry'
              ) : (
                <code key="where" className="font-mono text-xs break-all">
                  {data.location.externalImage}
                </code>
              ),
            ],
            ['Last push', status.lastPushAt === null ? 'never' : <Ago key="push" at={status.lastPushAt} />],
            ['Made', <Ago key="made" at={image.createdAt} />],
          ]}
        />
      </Section>
      {data.location.internal && (
        <Section title="Versions" flush>
          <Versions versions={status.versions} services={users.items} />
        </Section>
      )}
      <Section title="Used by" flush>
        {users.isPending ? <Skeleton rows={1} /> : <UsedBy services={users.items} />}
      </Section>
      {isDeleting && <DeleteDialog image={image} onClose={() => setDeleting(false)} />}
    </Page>
  )
}

const versionId = (version: Version) => version.versionString

function Versions({ versions, services }: { versions: Version[]; services: Service[] }) {
  const columns = useMemo(() => versionColumns(services), [services])
  if (versions.length === 0) {
    return (
      <Empty title="Nothing has been pushed yet.">The page of a service that uses this image has the commands.</Empty>
    )
  }
  return <Table label="Versions" rows={versions} rowId={versionId} columns={columns} />
}

function versionColumns(services: readonly Service[]) {
  return defineColumns<Version>([
    {
      id: 'tag',
      header: 'Tag',
      value: ({ versionString }) => versionString,
      cell: ({ versionString }) => <code className="font-mono text-xs font-semibold break-all">{versionString}</code>,
    },
    {
      id: 'digest',
      header: 'Digest',
      from: 'sm',
      cell: ({ digest, versionString }) => (
        <span className="flex items-center gap-1">
          <code className="font-mono text-xs text-muted" title={digest}>
            {shortDigest(digest)}
          </code>
          <CopyButton text={digest} label={`Copy digest of ${versionString}`} />
        </span>
      ),
    },
    { id: 'size', header: 'Size', align: 'right', value: ({ size }) => size, cell: ({ size }) => bytes(size) },
    {
      id: 'platforms',
      header: 'Platforms',
      from: 'md',
      cell: ({ platforms }) => <span className="text-muted">{platforms.join(', ') || '–'}</span>,
    },
    {
      id: 'used',
      header: 'Used by',
      from: 'lg',
      cell: ({ versionString, digest }) => {
        const names = services.filter(({ data }) => data.imageVersion === versionString || data.imageVersion === digest)
        return names.length === 0 ? (
          <span className="text-muted">–</span>
        ) : (
          names.map(({ data }) => data.name).join(', ')
        )
      },
    },
    {
      id: 'pushed',
      header: 'Pushed',
      align: 'right',
      value: ({ createdAt }) => createdAt,
      cell: ({ createdAt, pushedBy }) => (
        <span className="text-muted">
          <Ago at={createdAt} />
          <span className="max-sm:hidden"> by {pushedBy}</span>
        </span>
      ),
    },
  ])
}

function UsedBy({ services }: { services: Service[] }) {
  if (services.length === 0) return <Quiet>No service uses it.</Quiet>
  return (
    <ul className="divide-y divide-line overflow-hidden rounded-lg border border-line bg-surface">
      {services.map(({ id, data, status }) => (
        <li key={id}>
          <Link
            to="/services/$id"
            params={{ id }}
            className="flex items-center gap-3 px-4 py-2.5 hover:bg-sunken focus-visible:-outline-offset-2"
          >
            <span className="font-medium">{data.name}</span>
            <code className="min-w-0 flex-1 truncate font-mono text-xs text-muted">{data.imageVersion}</code>
            <State state={status.state} />
          </Link>
        </li>
      ))}
    </ul>
  )
}

function DeleteDialog({ image, onClose }: { image: Image; onClose: () => void }) {
  const client = useClient()
  const navigate = useNavigate()
  const remove = useMutation({ mutationFn: (_: undefined) => client.images.delete({ params: { id: image.id } }) })
  return (
    <Confirm
      title={`Delete ${image.data.name}?`}
      name={image.data.name}
      action="Delete image"
      mutation={remove}
      onClose={onClose}
      onDone={() => void navigate({ to: '/images' })}
    >
      <p>
        {image.data.location.internal ? 'Its tags and versions go with it.' : 'The image itself stays where it lives.'}
      </p>
    </Confirm>
  )
}

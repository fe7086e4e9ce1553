import type { Revision, Service } from '@freehold/contracts'
import { useMutation } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { useMemo, useState } from 'react'
import { useClient } from '../../app/client.tsx'
import { useList, wholePage } from '../../app/queries.ts'
import { useMay } from '../../app/session.ts'
import { Button } from '../../components/button.tsx'
import { Confirm } from '../../components/confirm.tsx'
import { ErrorNote } from '../../components/error-note.tsx'
import { shortDigest } from '../../components/format.ts'
import { Empty, Skeleton } from '../../components/page.tsx'
import { Tag } from '../../components/state.tsx'
import { defineColumns, Table } from '../../components/table.tsx'
import { Ago } from '../../components/time.tsx'

const revisionId = (revision: Revision) => revision.id

/** What the service was, newest first; each can be gone back to. */
export function Revisions({ service }: { service: Service }) {
  const revisions = useList('revisions', { serviceId: service.id, limit: wholePage })
  const mayDeploy = useMay()('services:deploy')
  const [chosen, setChosen] = useState<Revision | null>(null)
  const { currentRevisionId } = service.status
  const columns = useMemo(
    () => revisionColumns({ currentRevisionId, onRollBack: mayDeploy ? setChosen : null }),
    [currentRevisionId, mayDeploy],
  )
  const newestFirst = useMemo(
    () => revisions.items.toSorted((a, b) => b.data.number - a.data.number),
    [revisions.items],
  )
  if (revisions.isPending) return <Skeleton rows={5} />
  if (revisions.error !== null) return <ErrorNote error={revisions.error} />
  if (newestFirst.length === 0) {
    return <Empty title="No revisions yet">The first is made when there is an image to run.</Empty>
  }
  return (
    <>
      <Table
        label="Revisions"
        rows={newestFirst}
        rowId={revisionId}
        columns={columns}
        more={{ hasMore: revisions.hasMore, isLoading: revisions.isLoadingMore, load: revisions.more }}
      />
      {chosen !== null && <RollBackDialog service={service} revision={chosen} onClose={() => setChosen(null)} />}
    </>
  )
}

function revisionColumns(options: {
  currentRevisionId: string | null
  onRollBack: ((revision: Revision) => void) | null
}) {
  const { currentRevisionId, onRollBack } = options
  return defineColumns<Revision>([
    {
      id: 'number',
      header: 'Revision',
      value: ({ data }) => data.number,
      cell: ({ id, data }) => (
        <span className="flex items-center gap-2 font-medium">
          {data.number}
          {id === currentRevisionId && <Tag tone="good">serving</Tag>}
        </span>
      ),
    },
    {
      id: 'version',
      header: 'Image version',
      value: ({ data }) => data.imageVersion,
      cell: ({ data }) => (
        <code className="block max-w-40 truncate font-mono text-xs" title={data.imageVersion}>
          {data.imageVersion}
        </code>
      ),
    },
    {
      id: 'digest',
      header: 'Digest',
      from: 'md',
      cell: ({ data }) =>
        data.imageDigest === null ? (
          '–'
        ) : (
          <code className="font-mono text-xs text-muted" title={data.imageDigest}>
            {shortDigest(data.imageDigest)}
          </code>
        ),
    },
    {
      id: 'replicas',
      header: 'Replicas',
      from: 'md',
      align: 'right',
      cell: ({ data }) => (data.spec.mode === 'global' ? 'every node' : data.spec.replicas),
    },
    {
      id: 'made',
      header: 'Made',
      align: 'right',
      from: 'sm',
      value: ({ createdAt }) => createdAt,
      cell: ({ createdAt }) => (
        <span className="text-muted">
          <Ago at={createdAt} />
        </span>
      ),
    },
    {
      id: 'back',
      header: 'Action',
      align: 'right',
      cell: (revision) =>
        onRollBack !== null &&
        revision.id !== currentRevisionId && (
          <Button aria-label={`Roll back to revision ${revision.data.number}`} onClick={() => onRollBack(revision)}>
            Roll back
          </Button>
        ),
    },
  ])
}

function RollBackDialog({ service, revision, onClose }: { service: Service; revision: Revision; onClose: () => void }) {
  const client = useClient()
  const navigate = useNavigate()
  const deploy = useMutation({
    mutationFn: (_: undefined) =>
      client.services.deploy({ params: { id: service.id }, body: { revisionId: revision.id } }),
  })
  return (
    <Confirm
      title={`Go back to revision ${revision.data.number}?`}
      action="Roll back"
      mutation={deploy}
      onClose={onClose}
      onDone={() => void navigate({ to: '/services/$id', params: { id: service.id }, search: {} })}
    >
      <p>
        A rollout brings {service.data.name} to what it was then: image version{' '}
        <code className="font-mono text-xs">{revision.data.imageVersion}</code> with the settings of that time. What
        serves now serves until the other has proved healthy.
      </p>
      <p>The settings of the service stay as they are: its next deploy goes by them again.</p>
    </Confirm>
  )
}

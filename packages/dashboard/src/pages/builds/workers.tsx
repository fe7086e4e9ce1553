import type { BuildWorker } from '@freehold/contracts'
import { useQuery } from '@tanstack/react-query'
import { useClient } from '../../app/client.tsx'
import { Button } from '../../components/button.tsx'
import { ErrorNote } from '../../components/error-note.tsx'
import { plural } from '../../components/format.ts'
import { Empty, Page, Skeleton } from '../../components/page.tsx'
import { State } from '../../components/state.tsx'
import { defineColumns, Table } from '../../components/table.tsx'
import { BuildPlaces } from './places.tsx'
import { architectureWords, kindWords } from './words.ts'

const refreshMs = 10_000
const rowId = ({ id }: BuildWorker) => id

const columns = defineColumns<BuildWorker>([
  {
    id: 'id',
    header: 'Worker',
    value: ({ id }) => id,
    cell: ({ id, url }) => (
      <span className="flex min-w-0 flex-col">
        <span className="font-medium break-all">{id}</span>
        {id !== url && <span className="text-xs text-muted [overflow-wrap:anywhere]">{url ?? 'this machine'}</span>}
      </span>
    ),
  },
  {
    id: 'state',
    header: 'State',
    value: ({ state }) => state,
    cell: ({ state, message }) => (
      <span className="flex min-w-0 flex-col items-start gap-0.5">
        <State state={state} />
        {message !== '' && <span className="text-xs text-muted [overflow-wrap:anywhere]">{message}</span>}
      </span>
    ),
  },
  {
    id: 'builds',
    header: 'Builds',
    from: 'md',
    cell: ({ imageKinds, architectures }) => (
      <span className="flex flex-col">
        {imageKinds.length === 0 ? '–' : imageKinds.map((kind) => wordOf(kindWords, kind)).join(', ')}
        <span className="text-xs text-muted">
          {architectures.map((name) => wordOf(architectureWords, name)).join(' · ')}
        </span>
      </span>
    ),
  },
  {
    id: 'jobs',
    header: 'Jobs',
    align: 'right',
    value: ({ runningJobs }) => runningJobs,
    cell: ({ runningJobs }) => runningJobs,
  },
  {
    id: 'machine',
    header: 'Machine',
    from: 'lg',
    align: 'right',
    cell: ({ cpuCores, memoryGb }) => (
      <span className="text-muted">
        {[cpuCores === null ? '' : plural(cpuCores, 'core'), memoryGb === null ? '' : `${memoryGb} GB`]
          .filter((part) => part !== '')
          .join(', ') || '–'}
      </span>
    ),
  },
])

/** The workers are asked each time this is shown, and every few seconds while it is. */
export function BuildWorkersPage() {
  const client = useClient()
  const workers = useQuery({
    queryKey: ['buildWorkers'],
    queryFn: ({ signal }) => client.buildWorkers.list({ signal }),
    staleTime: 0,
    refetchInterval: refreshMs,
  })
  return (
    <Page
      title="Build workers"
      places={<BuildPlaces />}
      lead={<p>They make the images. A build goes to the least busy one that can.</p>}
      actions={
        <Button busy={workers.isFetching} onClick={() => void workers.refetch()}>
          Ask again
        </Button>
      }
    >
      <ErrorNote error={workers.error} />
      {workers.data === undefined ? (
        workers.isPending && <Skeleton rows={2} />
      ) : workers.data.items.length > 0 ? (
        <Table label="Build workers" rows={workers.data.items} rowId={rowId} columns={columns} />
      ) : (
        <Empty title="No build workers">
          <p>
            Builds wait until there is one. The setting <code className="font-mono text-xs">corebuildWorkersJson</code>{' '}
            names them.
          </p>
        </Empty>
      )}
    </Page>
  )
}

function wordOf(words: Record<string, string>, name: string): string {
  return words[name] ?? name
}

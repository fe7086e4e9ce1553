import type { ImageSummary } from '@freehold/contracts'
import { Link } from '@tanstack/react-router'
import { useDeferredValue, useState } from 'react'
import { useMay } from '../../app/session.ts'
import { Button } from '../../components/button.tsx'
import { ErrorNote } from '../../components/error-note.tsx'
import { bytes } from '../../components/format.ts'
import { PlusIcon } from '../../components/icons.tsx'
import { Empty, Page, Skeleton } from '../../components/page.tsx'
import { SearchField } from '../../components/search.tsx'
import { State } from '../../components/state.tsx'
import { defineColumns, Table } from '../../components/table.tsx'
import { Ago } from '../../components/time.tsx'
import { useSummaries } from './contents.ts'
import { CreateDialog } from './create.tsx'
import { ImportDialog } from './import.tsx'

const columns = defineColumns<ImageSummary>([
  {
    id: 'name',
    header: 'Name',
    cell: ({ id, name, externalImage, mirrorOf }) => (
      <span className="flex min-w-0 flex-col">
        <Link to="/images/$id" params={{ id }} className="font-medium break-all hover:underline">
          {name}
        </Link>
        {externalImage !== null && <code className="font-mono text-xs break-all text-muted">{externalImage}</code>}
        {mirrorOf !== null && <span className="text-xs break-all text-muted">mirror of {mirrorOf}</span>}
      </span>
    ),
  },
  {
    id: 'tags',
    header: 'Tags',
    align: 'right',
    from: 'sm',
    cell: ({ tagCount, externalImage }) => (externalImage === null ? tagCount.toLocaleString('en') : '–'),
  },
  {
    id: 'size',
    header: 'Size',
    align: 'right',
    cell: ({ sizeBytes, externalImage }) => (
      <span className="whitespace-nowrap">{externalImage === null ? bytes(sizeBytes) : '–'}</span>
    ),
  },
  {
    id: 'used',
    header: 'Used by',
    from: 'md',
    cell: ({ services }) => <UsedBy services={services} />,
  },
  {
    id: 'newest',
    header: 'Newest tag',
    from: 'lg',
    cell: ({ newestTag }) =>
      newestTag === null ? (
        <span className="text-muted">–</span>
      ) : (
        <code className="font-mono text-xs break-all">{newestTag}</code>
      ),
  },
  {
    id: 'pushed',
    header: 'Last push',
    align: 'right',
    cell: ({ lastPushAt, lastPushBy, externalImage }) => (
      <span className="text-muted">
        {lastPushAt === null ? externalImage === null ? 'never' : '–' : <Ago at={lastPushAt} />}
        {lastPushBy !== null && <span className="max-sm:hidden"> by {lastPushBy}</span>}
      </span>
    ),
  },
])
const rowId = (image: ImageSummary) => image.id

function UsedBy({ services }: { services: ImageSummary['services'] }) {
  if (services.length === 0) return <span className="text-muted">–</span>
  return (
    <span className="flex flex-wrap items-center gap-x-3 gap-y-1">
      {services.slice(0, 3).map(({ id, name, state }) => (
        <Link key={id} to="/services/$id" params={{ id }} className="inline-flex items-center gap-1.5 hover:underline">
          {name} <State state={state} />
        </Link>
      ))}
      {services.length > 3 && <span className="text-muted">and {services.length - 3} more</span>}
    </span>
  )
}

export function ImagesPage() {
  const may = useMay()
  const [search, setSearch] = useState('')
  const [open, setOpen] = useState<'create' | 'import' | null>(null)
  const wanted = useDeferredValue(search.trim())
  const images = useSummaries(wanted)
  return (
    <Page
      title="Images"
      actions={
        <>
          {may('images:push') && <Button onClick={() => setOpen('import')}>Import</Button>}
          {may('images:write') && (
            <Button look="primary" onClick={() => setOpen('create')}>
              <PlusIcon />
              Add image
            </Button>
          )}
        </>
      }
    >
      <search>
        <SearchField label="Search images" value={search} onChange={setSearch} />
      </search>
      <ErrorNote error={images.error} onRetry={images.retry} />
      {images.isPending ? (
        <Skeleton rows={6} />
      ) : images.items.length > 0 ? (
        <Table label="Images" rows={images.items} rowId={rowId} columns={columns} more={images.more} />
      ) : wanted !== '' ? (
        <Empty title="No image fits.">Search for another part of the name.</Empty>
      ) : (
        images.error === null && (
          <Empty title="No images yet">
            The first push to a repository makes one, and so does an import. A service without an image gets one of its
            own; its page has the commands to push to it.
          </Empty>
        )
      )}
      {open === 'create' && <CreateDialog onClose={() => setOpen(null)} />}
      {open === 'import' && <ImportDialog onClose={() => setOpen(null)} />}
    </Page>
  )
}

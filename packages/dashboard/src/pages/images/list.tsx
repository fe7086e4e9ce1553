import type { Image } from '@freehold/contracts'
import { useMutation } from '@tanstack/react-query'
import { Link, useNavigate } from '@tanstack/react-router'
import { useDeferredValue, useState } from 'react'
import { useClient } from '../../app/client.tsx'
import { useList } from '../../app/queries.ts'
import { useMay } from '../../app/session.ts'
import { Button } from '../../components/button.tsx'
import { Dialog, DialogActions } from '../../components/dialog.tsx'
import { ErrorNote, faultAt } from '../../components/error-note.tsx'
import { TextField } from '../../components/field.tsx'
import { PlusIcon } from '../../components/icons.tsx'
import { Empty, Page, Skeleton } from '../../components/page.tsx'
import { SearchField } from '../../components/search.tsx'
import { Tag } from '../../components/state.tsx'
import { defineColumns, Table } from '../../components/table.tsx'
import { Ago } from '../../components/time.tsx'

const columns = defineColumns<Image>([
  {
    id: 'name',
    header: 'Name',
    value: ({ data }) => data.name,
    cell: ({ id, data }) => (
      <Link to="/images/$id" params={{ id }} className="font-medium break-all hover:underline">
        {data.name}
      </Link>
    ),
  },
  {
    id: 'where',
    header: 'Where it lives',
    from: 'sm',
    value: ({ data }) => (data.location.internal ? '' : data.location.externalImage),
    cell: ({ data: { location } }) =>
      location.internal ? (
        <Tag tone="moving">this registry</Tag>
      ) : (
        <code className="font-mono text-xs break-all text-muted">{location.externalImage}</code>
      ),
  },
  {
    id: 'versions',
    header: 'Versions',
    align: 'right',
    value: ({ status }) => status.versions.length,
    cell: ({ data, status }) => (data.location.internal ? status.versions.length : '–'),
  },
  {
    id: 'newest',
    header: 'Newest',
    from: 'md',
    cell: ({ status }) => {
      const newest = status.versions[0]
      return newest === undefined ? '–' : <code className="font-mono text-xs">{newest.versionString}</code>
    },
  },
  {
    id: 'pushed',
    header: 'Last push',
    align: 'right',
    from: 'sm',
    value: ({ status }) => status.lastPushAt ?? '',
    cell: ({ status }) => (
      <span className="text-muted">{status.lastPushAt === null ? 'never' : <Ago at={status.lastPushAt} />}</span>
    ),
  },
])
const rowId = (image: Image) => image.id

export function ImagesPage() {
  const mayWrite = useMay()('images:write')
  const [search, setSearch] = useState('')
  const [isCreating, setCreating] = useState(false)
  const wanted = useDeferredValue(search.trim())
  const images = useList('images', { search: wanted === '' ? undefined : wanted })
  return (
    <Page
      title="Images"
      actions={
        mayWrite && (
          <Button look="primary" onClick={() => setCreating(true)}>
            <PlusIcon />
            Add image
          </Button>
        )
      }
    >
      <search>
        <SearchField label="Search images" value={search} onChange={setSearch} />
      </search>
      <ErrorNote error={images.error} />
      {images.isPending ? (
        <Skeleton rows={6} />
      ) : images.items.length > 0 ? (
        <Table
          label="Images"
          rows={images.items}
          rowId={rowId}
          columns={columns}
          more={{ hasMore: images.hasMore, isLoading: images.isLoadingMore, load: images.more }}
        />
      ) : wanted !== '' ? (
        <Empty title="No image fits.">Search for another part of the name.</Empty>
      ) : (
        images.error === null && (
          <Empty title="No images yet">
            A service without an image gets one of its own when it is created; its page has the commands to push to it.
          </Empty>
        )
      )}
      {isCreating && <CreateDialog onClose={() => setCreating(false)} />}
    </Page>
  )
}

const shownPaths = ['data.name', 'data.location']

function CreateDialog({ onClose }: { onClose: () => void }) {
  const client = useClient()
  const navigate = useNavigate()
  const [isExternal, setExternal] = useState(true)
  const [name, setName] = useState('')
  const [externalImage, setExternalImage] = useState('')
  const create = useMutation({
    mutationFn: () => {
      const location = isExternal ? ({ internal: false, externalImage } as const) : ({ internal: true } as const)
      return client.images.create({ body: { data: { name, location } } })
    },
    onSuccess: ({ id }) => void navigate({ to: '/images/$id', params: { id } }),
  })
  return (
    <Dialog title="Add image" onClose={onClose} locked={create.isPending}>
      <form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          create.mutate()
        }}
      >
        <fieldset className="flex flex-col gap-2">
          <legend className="mb-1 text-sm font-medium">Where it lives</legend>
          <label className="flex items-center gap-2 text-sm">
            <input
              type="radio"
              name="where"
              className="accent-accent"
              checked={isExternal}
              onChange={() => setExternal(true)}
            />
            In another registry
          </label>
          <label className="flex items-center gap-2 text-sm">
            <input
              type="radio"
              name="where"
              className="accent-accent"
              checked={!isExternal}
              onChange={() => setExternal(false)}
            />
            In this registry, pushed by you
          </label>
        </fieldset>
        {isExternal && (
          <TextField
            label="Image"
            value={externalImage}
            onChange={setExternalImage}
            required
            spellCheck={false}
            autoCapitalize="none"
            placeholder="docker.io/library/nginx"
            hint="Without a tag; the service says which version"
            error={faultAt(create.error, 'data.location')}
          />
        )}
        <TextField
          label="Name"
          value={name}
          onChange={setName}
          required
          spellCheck={false}
          autoCapitalize="none"
          placeholder={isExternal ? 'nginx' : 'workloads/web'}
          hint={isExternal ? 'What it is called here' : 'Its repository in this registry'}
          error={faultAt(create.error, 'data.name')}
        />
        <ErrorNote error={create.error} shownPaths={shownPaths} />
        <DialogActions>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="primary" busy={create.isPending}>
            Add image
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  )
}

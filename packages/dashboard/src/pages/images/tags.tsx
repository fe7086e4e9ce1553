import type { Image, ImageTag } from '@freehold/contracts'
import { Link } from '@tanstack/react-router'
import { useCallback, useDeferredValue, useMemo, useState } from 'react'
import { useMay } from '../../app/session.ts'
import { Button } from '../../components/button.tsx'
import { writeClipboard } from '../../components/copy.tsx'
import { ErrorNote } from '../../components/error-note.tsx'
import { bytes, plural } from '../../components/format.ts'
import { ActionsMenu, MenuItem, MenuSeparator } from '../../components/menu.tsx'
import { Empty, Skeleton } from '../../components/page.tsx'
import { SearchField } from '../../components/search.tsx'
import { type Column, defineColumns, Table } from '../../components/table.tsx'
import { Ago } from '../../components/time.tsx'
import { useTags, type Wanted } from './contents.ts'
import { DeleteContentsDialog } from './delete-contents.tsx'
import { Attached, Deployments, DigestLink, Platforms, Purpose } from './marks.tsx'
import { PushHelp, usePullName } from './pull.tsx'

const tagId = ({ tag }: ImageTag) => tag
/** One request may name so many. */
const mostSelected = 100

/** All tags of an image, the one moved last first. */
export function Tags({ image }: { image: Image }) {
  const { name } = image.data
  const mayDelete = useMay()('images:push')
  const [search, setSearch] = useState('')
  const [selected, setSelected] = useState<readonly string[]>([])
  const [deleting, setDeleting] = useState<Wanted | null>(null)
  const wanted = useDeferredValue(search.trim())
  const tags = useTags(image.id, wanted)
  const pullName = usePullName(name)
  const [said, setSaid] = useState('')
  const say = useCallback(async (what: string, text: string) => {
    setSaid((await writeClipboard(text)) ? `Copied the ${what}.` : `Could not copy: ${text}`)
  }, [])
  const columns = useMemo(
    () =>
      defineColumns<ImageTag>([
        ...(mayDelete ? [selection({ selected, setSelected })] : []),
        ...columnsOf(image.id),
        actions({
          pullName,
          copy: say,
          onDelete: mayDelete ? (tag) => setDeleting({ tags: [tag], manifests: [] }) : null,
        }),
      ]),
    [image.id, mayDelete, pullName, say, selected],
  )
  if (!tags.isPending && tags.items.length === 0 && wanted === '' && tags.error === null) {
    const { location } = image.data
    if (location.internal && location.mirrorOf !== undefined) {
      return (
        <Empty title="Nothing has been fetched yet.">A tag appears here when it is pulled for the first time.</Empty>
      )
    }
    return (
      <>
        <Empty title="Nothing has been pushed yet.">Tags appear here as they are pushed.</Empty>
        <PushHelp name={name} />
      </>
    )
  }
  return (
    <>
      <div className="flex flex-wrap items-center justify-between gap-3">
        <search className="max-sm:w-full">
          <SearchField label="Search tags" value={search} onChange={setSearch} />
        </search>
        <span role="status" className="text-sm break-all text-muted sm:mr-auto">
          {said}
        </span>
        {selected.length > 0 && (
          <Button look="danger" onClick={() => setDeleting({ tags: [...selected], manifests: [] })}>
            Delete {plural(selected.length, 'tag')}
          </Button>
        )}
      </div>
      <ErrorNote error={tags.error} onRetry={tags.retry} />
      {tags.isPending ? (
        <Skeleton rows={6} />
      ) : tags.items.length > 0 ? (
        <Table label="Tags" rows={tags.items} rowId={tagId} columns={columns} more={tags.more} />
      ) : (
        tags.error === null && <Empty title="No tag fits.">Search for another part of the name.</Empty>
      )}
      {deleting !== null && (
        <DeleteContentsDialog
          imageId={image.id}
          name={name}
          wanted={deleting}
          onClose={() => setDeleting(null)}
          onDone={() => setSelected((before) => before.filter((tag) => !deleting.tags.includes(tag)))}
        />
      )}
    </>
  )
}

function selection(state: {
  selected: readonly string[]
  setSelected: (change: (before: readonly string[]) => readonly string[]) => void
}): Column<ImageTag> {
  return {
    id: 'selected',
    header: '',
    from: 'sm',
    cell: ({ tag }) => {
      const isSelected = state.selected.includes(tag)
      return (
        <input
          type="checkbox"
          aria-label={`Select ${tag}`}
          className="size-4 align-middle accent-accent"
          checked={isSelected}
          disabled={!isSelected && state.selected.length >= mostSelected}
          onChange={() =>
            state.setSelected((before) => (isSelected ? before.filter((each) => each !== tag) : [...before, tag]))
          }
        />
      )
    },
  }
}

function columnsOf(imageId: string): Column<ImageTag>[] {
  return [
    {
      id: 'tag',
      header: 'Tag',
      cell: ({ tag, digest, attachments, purpose, deployments, releases }) => (
        <span className="flex flex-wrap items-center gap-x-2 gap-y-1">
          <Link
            to="/images/$id/$digest"
            params={{ id: imageId, digest }}
            className="font-mono text-xs font-semibold break-all hover:underline"
          >
            {tag}
          </Link>
          <Purpose purpose={purpose} />
          <Attached attachments={attachments} />
          {deployments.length + releases.length > 0 && (
            <span className="basis-full text-xs sm:hidden">
              <Deployments of={{ deployments, releases }} />
            </span>
          )}
        </span>
      ),
    },
    {
      id: 'digest',
      header: 'Digest',
      from: 'lg',
      cell: ({ digest }) => <DigestLink imageId={imageId} digest={digest} />,
    },
    {
      id: 'platforms',
      header: 'Platforms',
      from: 'md',
      cell: ({ platforms }) => <Platforms platforms={platforms} />,
    },
    {
      id: 'deployed',
      header: 'Runs in',
      from: 'sm',
      cell: (tag) => <Deployments of={tag} />,
    },
    {
      id: 'size',
      header: 'Size',
      align: 'right',
      cell: ({ sizeBytes }) => <span className="whitespace-nowrap">{bytes(sizeBytes)}</span>,
    },
    {
      id: 'pushed',
      header: 'Pushed',
      align: 'right',
      cell: ({ pushedAt, pushedBy }) => (
        <span className="whitespace-nowrap text-muted">
          <Ago at={pushedAt} />
          <span className="max-md:hidden"> by {pushedBy}</span>
        </span>
      ),
    },
  ]
}

function actions(options: {
  pullName: (reference: string) => string
  copy: (what: string, text: string) => void
  onDelete: ((tag: string) => void) | null
}): Column<ImageTag> {
  const { pullName, copy, onDelete } = options
  return {
    id: 'actions',
    header: '',
    align: 'right',
    cell: ({ tag, digest }) => (
      <ActionsMenu label={`Actions for ${tag}`}>
        <MenuItem onSelect={() => copy('pull command', `docker pull ${pullName(`:${tag}`)}`)}>
          Copy pull command
        </MenuItem>
        <MenuItem onSelect={() => copy('name', pullName(`@${digest}`))}>Copy name with digest</MenuItem>
        {onDelete !== null && (
          <>
            <MenuSeparator />
            <MenuItem danger onSelect={() => onDelete(tag)}>
              Delete…
            </MenuItem>
          </>
        )}
      </ActionsMenu>
    ),
  }
}

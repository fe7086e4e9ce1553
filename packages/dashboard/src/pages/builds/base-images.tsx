import type { BaseImage } from '@freehold/contracts'
import { useMutation } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { useMemo, useState } from 'react'
import { useClient } from '../../app/client.tsx'
import { ListTable } from '../../app/list-table.tsx'
import { useList, wholePage } from '../../app/queries.ts'
import { useMay } from '../../app/session.ts'
import { Button } from '../../components/button.tsx'
import { Confirm } from '../../components/confirm.tsx'
import { Dialog, DialogActions } from '../../components/dialog.tsx'
import { ErrorNote, faultAt } from '../../components/error-note.tsx'
import { TextField } from '../../components/field.tsx'
import { bytes } from '../../components/format.ts'
import { PlusIcon } from '../../components/icons.tsx'
import { ActionsMenu, MenuItem, MenuSeparator } from '../../components/menu.tsx'
import { Empty, Page } from '../../components/page.tsx'
import { State } from '../../components/state.tsx'
import { defineColumns } from '../../components/table.tsx'
import { Ago } from '../../components/time.tsx'
import { AddBaseImageDialog, ResumeUploadDialog } from './add-base-image.tsx'
import { KindCell } from './kind-cell.tsx'
import { BuildPlaces } from './places.tsx'
import { kindWords } from './words.ts'

interface Choice {
  act: 'edit' | 'resume' | 'delete'
  base: BaseImage
}
const rowId = ({ id }: BaseImage) => id

export function BaseImagesPage() {
  const mayWrite = useMay()('builds:write')
  const bases = useList('baseImages', { limit: wholePage })
  const [isAdding, setAdding] = useState(false)
  const [chosen, setChosen] = useState<Choice | null>(null)
  const close = () => setChosen(null)
  const columns = useMemo(() => columnsOf(mayWrite ? setChosen : null), [mayWrite])
  const add = (
    <Button look="primary" onClick={() => setAdding(true)}>
      <PlusIcon />
      Add base image
    </Button>
  )
  return (
    <Page
      title="Base images"
      places={<BuildPlaces />}
      lead={<p>What images are made from. Ubuntu’s own installers need none here.</p>}
      actions={mayWrite && bases.items.length > 0 && add}
    >
      <ListTable
        label="Base images"
        list={bases}
        rows={bases.items}
        rowId={rowId}
        columns={columns}
        skeletonRows={3}
        empty={
          <Empty title="No base images yet" action={mayWrite && add}>
            Images for a Raspberry Pi and the like begin with one: upload it, or tell where it is and its SHA-256.
          </Empty>
        }
      />
      {isAdding && <AddBaseImageDialog onClose={() => setAdding(false)} />}
      {chosen?.act === 'edit' && <EditDialog base={chosen.base} onClose={close} />}
      {chosen?.act === 'resume' && <ResumeUploadDialog base={chosen.base} onClose={close} />}
      {chosen?.act === 'delete' && <DeleteDialog base={chosen.base} onClose={close} />}
    </Page>
  )
}

function columnsOf(onChoose: ((choice: Choice) => void) | null) {
  return defineColumns<BaseImage>([
    {
      id: 'name',
      header: 'Name',
      value: ({ data }) => data.name,
      cell: ({ data }) => (
        <span className="flex min-w-0 flex-col">
          <span className="font-medium [overflow-wrap:anywhere]">{data.name}</span>
          {data.description !== '' && <span className="text-xs text-muted max-sm:hidden">{data.description}</span>}
          <span className="text-xs text-muted sm:hidden">{kindWords[data.imageKind]}</span>
        </span>
      ),
    },
    {
      id: 'state',
      header: 'State',
      cell: (base) =>
        base.status.state === 'ready' ? (
          <State state="complete" label="Ready" title={base.status.message} />
        ) : (
          <span className="flex flex-col items-start gap-1.5 py-1">
            <State state={base.status.state} title={base.status.message} />
            {onChoose !== null && <ResumeButton base={base} onChoose={onChoose} className="sm:hidden" />}
          </span>
        ),
    },
    {
      id: 'kind',
      header: 'Kind',
      from: 'sm',
      value: ({ data }) => data.imageKind,
      cell: ({ data }) => <KindCell imageKind={data.imageKind} architecture={data.architecture} />,
    },
    {
      id: 'from',
      header: 'From',
      from: 'md',
      cell: ({ data, status }) => (
        <span className="flex min-w-0 flex-col text-muted">
          <span className="break-all">{data.url ?? 'uploaded'}</span>
          {(data.sha256 ?? status.blob?.digest) != null && (
            <code className="font-mono text-xs" title={data.sha256 ?? status.blob?.digest}>
              sha256:{(data.sha256 ?? status.blob?.digest.replace('sha256:', '') ?? '').slice(0, 12)}…
            </code>
          )}
        </span>
      ),
    },
    {
      id: 'size',
      header: 'Size',
      from: 'sm',
      align: 'right',
      value: ({ status }) => status.blob?.sizeBytes ?? 0,
      cell: ({ status }) =>
        status.blob === null ? <span className="text-muted">–</span> : bytes(status.blob.sizeBytes),
    },
    {
      id: 'added',
      header: 'Added',
      from: 'lg',
      align: 'right',
      value: ({ createdAt }) => createdAt,
      cell: ({ createdAt }) => (
        <span className="text-muted">
          <Ago at={createdAt} />
        </span>
      ),
    },
    {
      id: 'act',
      header: 'Action',
      align: 'right',
      cell: (base) => onChoose !== null && <BaseMenu base={base} onChoose={onChoose} />,
    },
  ])
}

function BaseMenu({ base, onChoose }: { base: BaseImage; onChoose: (choice: Choice) => void }) {
  return (
    <span className="flex items-center justify-end gap-1">
      {base.status.state === 'uploading' && <ResumeButton base={base} onChoose={onChoose} className="max-sm:hidden" />}
      <ActionsMenu label={`More actions of ${base.data.name}`}>
        <MenuItem onSelect={() => onChoose({ act: 'edit', base })}>Rename</MenuItem>
        <MenuSeparator />
        <MenuItem danger onSelect={() => onChoose({ act: 'delete', base })}>
          Delete
        </MenuItem>
      </ActionsMenu>
    </span>
  )
}

/** Beside the menu, or below the state where the screen leaves the name no room beside it. */
function ResumeButton(props: { base: BaseImage; onChoose: (choice: Choice) => void; className: string }) {
  const { base, onChoose, className } = props
  return (
    <Button
      className={className}
      aria-label={`Upload ${base.data.name}`}
      onClick={() => onChoose({ act: 'resume', base })}
    >
      Upload
    </Button>
  )
}

function EditDialog({ base, onClose }: { base: BaseImage; onClose: () => void }) {
  const client = useClient()
  const [name, setName] = useState(base.data.name)
  const [description, setDescription] = useState(base.data.description)
  const save = useMutation({
    mutationFn: () => client.baseImages.update({ params: { id: base.id }, body: { data: { name, description } } }),
    onSuccess: onClose,
  })
  return (
    <Dialog title={`Rename ${base.data.name}`} onClose={onClose} locked={save.isPending}>
      <form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          save.mutate()
        }}
      >
        <TextField label="Name" required value={name} onChange={setName} error={faultAt(save.error, 'data.name')} />
        <TextField
          label="Description"
          value={description}
          onChange={setDescription}
          error={faultAt(save.error, 'data.description')}
        />
        <ErrorNote error={save.error} shownPaths={['data.name', 'data.description']} />
        <DialogActions>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="primary" busy={save.isPending}>
            Save
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  )
}

function DeleteDialog({ base, onClose }: { base: BaseImage; onClose: () => void }) {
  const client = useClient()
  const mutation = useMutation({
    mutationFn: async (_: undefined): Promise<unknown> => client.baseImages.delete({ params: { id: base.id } }),
  })
  return (
    <Confirm title={`Delete ${base.data.name}?`} action="Delete" mutation={mutation} onClose={onClose}>
      <p>
        Images that were made from it stay.{' '}
        <Link to="/builds" search={{ base: base.id }} className="text-accent hover:underline">
          Its builds
        </Link>
      </p>
    </Confirm>
  )
}

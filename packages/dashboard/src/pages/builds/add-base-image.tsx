import { ApiError, isAbort } from '@freehold/client'
import {
  type BaseImage,
  type BuildArchitecture,
  buildArchitectures,
  type ImageKind,
  imageKinds,
} from '@freehold/contracts'
import { useMutation } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { useClient } from '../../app/client.tsx'
import { Button } from '../../components/button.tsx'
import { Dialog, DialogActions } from '../../components/dialog.tsx'
import { ErrorNote, faultAt } from '../../components/error-note.tsx'
import { SelectField, TextField } from '../../components/field.tsx'
import { FileField } from '../../components/file-field.tsx'
import { ProgressBar } from '../../components/progress-bar.tsx'
import { nameOfFile, useUpload } from './upload.ts'
import { architectureWords, kindWords } from './words.ts'

const packings = '.iso,.img,.raw,.zip,.gz,.xz,.zst'
const shownPaths = ['name', 'description', 'imageKind', 'architecture', 'url', 'sha256'].map((name) => `data.${name}`)

/** Adds a base image: a file that is uploaded, or an address with its SHA-256. `fixed`: what it must be for. */
export function AddBaseImageDialog(props: {
  fixed?: { imageKind: ImageKind; architecture: BuildArchitecture }
  onClose: () => void
  onAdded?: (id: string) => void
}) {
  const { fixed, onClose } = props
  const client = useClient()
  const upload = useUpload()
  const [from, setFrom] = useState<'file' | 'url'>('file')
  const [file, setFile] = useState<File | null>(null)
  const [typedName, setName] = useState<string | null>(null)
  const [imageKind, setImageKind] = useState<ImageKind>(fixed?.imageKind ?? 'balena-raw')
  const [architecture, setArchitecture] = useState<BuildArchitecture>(fixed?.architecture ?? 'rpi')
  const [url, setUrl] = useState('')
  const [sha256, setSha256] = useState('')
  const [description, setDescription] = useState('')
  const name = typedName ?? nameOfFile(file?.name ?? fileOfUrl(url))
  const isUbuntu = imageKind === 'ubuntu-iso'
  const add = useMutation({
    mutationFn: async () => {
      const digest = sha256.trim() === '' ? null : sha256.trim().toLowerCase()
      const address = from === 'url' ? url.trim() : null
      const data = { name, description, imageKind, architecture, url: address, sha256: digest }
      const { id } = await client.baseImages.create({ body: { data } })
      if (from === 'file' && file !== null) await upload.run(id, file)
      return id
    },
    onSuccess: (id) => {
      props.onAdded?.(id)
      onClose()
    },
    onError: (error) => {
      if (isAbort(error)) onClose()
    },
  })
  const fault = (field: string) => faultAt(add.error, `data.${field}`)
  if (upload.state !== null) {
    return (
      <Uploading title={`Uploading ${name}`} upload={upload}>
        It takes as long as your connection needs. Stopped, it goes on from the page of base images.
      </Uploading>
    )
  }
  return (
    <Dialog title="Add base image" onClose={onClose} locked={add.isPending} wide>
      <form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          add.mutate()
        }}
      >
        <SelectField
          label="Where it comes from"
          value={from}
          onChange={(value) => setFrom(value as 'file' | 'url')}
          choices={[
            { value: 'file', label: 'A file of this computer' },
            { value: 'url', label: 'An address, fetched by workers' },
          ]}
        />
        {from === 'file' ? (
          <FileField
            label="File"
            accept={packings}
            hint="The image, as it is or packed: .zip, .gz, .xz, .zst."
            onChoose={setFile}
          />
        ) : (
          <TextField
            label="Address"
            type="url"
            required
            value={url}
            onChange={setUrl}
            placeholder="https://…"
            spellCheck={false}
            autoComplete="off"
            error={fault('url')}
          />
        )}
        <TextField
          label="SHA-256"
          required={from === 'url'}
          value={sha256}
          onChange={setSha256}
          spellCheck={false}
          autoComplete="off"
          className="font-mono text-xs!"
          hint={
            from === 'url'
              ? 'Of the file at that address: what is there may change.'
              : 'If its maker tells it: another file is refused then.'
          }
          error={fault('sha256')}
        />
        <div className="grid gap-4 sm:grid-cols-2">
          {fixed === undefined && (
            <>
              <SelectField
                label="Kind"
                value={imageKind}
                onChange={(value) => {
                  setImageKind(value as ImageKind)
                  if (value === 'ubuntu-iso' && architecture === 'rpi') setArchitecture('amd64')
                }}
                choices={imageKinds.map((value) => ({ value, label: kindWords[value] }))}
                error={fault('imageKind')}
              />
              <SelectField
                label="For"
                value={architecture}
                onChange={(value) => setArchitecture(value as BuildArchitecture)}
                choices={buildArchitectures
                  .filter((value) => !isUbuntu || value !== 'rpi')
                  .map((value) => ({ value, label: architectureWords[value] }))}
                error={fault('architecture')}
              />
            </>
          )}
          <TextField
            label="Name"
            required
            value={name}
            onChange={setName}
            spellCheck={false}
            autoComplete="off"
            error={fault('name') ?? takenName(add.error)}
          />
          <TextField
            label="Description"
            value={description}
            onChange={setDescription}
            autoComplete="off"
            error={fault('description')}
          />
        </div>
        {takenName(add.error) === undefined && <ErrorNote error={add.error} shownPaths={shownPaths} />}
        <DialogActions>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="primary" busy={add.isPending} disabled={from === 'file' && file === null}>
            {from === 'file' ? 'Upload' : 'Add'}
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  )
}

/** Goes on with an upload that was broken off, with the same file. */
export function ResumeUploadDialog({ base, onClose }: { base: BaseImage; onClose: () => void }) {
  const upload = useUpload()
  const [file, setFile] = useState<File | null>(null)
  const resume = useMutation({
    mutationFn: async (chosen: File) => upload.run(base.id, chosen),
    onSuccess: onClose,
    onError: (error) => {
      if (isAbort(error)) onClose()
    },
  })
  if (upload.state !== null) {
    return (
      <Uploading title={`Uploading ${base.data.name}`} upload={upload}>
        Stopped, it goes on from here another time.
      </Uploading>
    )
  }
  return (
    <Dialog title={`Upload ${base.data.name}`} onClose={onClose} locked={resume.isPending}>
      <form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          if (file !== null) resume.mutate(file)
        }}
      >
        <p className="text-sm text-muted">What was sent before is kept: with the same file it goes on from there.</p>
        <FileField label="File" accept={packings} hint="The one that was begun with." onChoose={setFile} />
        <ErrorNote error={resume.error} />
        <DialogActions>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="primary" busy={resume.isPending} disabled={file === null}>
            Upload
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  )
}

function Uploading(props: { title: string; upload: ReturnType<typeof useUpload>; children: ReactNode }) {
  const { state, stop } = props.upload
  if (state === null) return null
  return (
    <Dialog title={props.title} onClose={stop} locked>
      <ProgressBar label={props.title} doneBytes={state.doneBytes} totalBytes={state.totalBytes} />
      <p role="status" className="text-sm text-muted">
        {state.retrying === null ? props.children : `Trying again: ${state.retrying}`}
      </p>
      <DialogActions>
        <Button onClick={stop}>Stop</Button>
      </DialogActions>
    </Dialog>
  )
}

function takenName(error: unknown): string | undefined {
  return error instanceof ApiError && error.code === 'already-exists' ? error.message : undefined
}

function fileOfUrl(url: string): string {
  return URL.canParse(url) ? (new URL(url).pathname.split('/').at(-1) ?? '') : ''
}

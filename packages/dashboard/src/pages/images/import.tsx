import type { ImportProgress } from '@freehold/contracts'
import { useMutation } from '@tanstack/react-query'
import { useEffect, useRef, useState } from 'react'
import { useClient } from '../../app/client.tsx'
import { Button } from '../../components/button.tsx'
import { Dialog, DialogActions } from '../../components/dialog.tsx'
import { ErrorNote, faultAt } from '../../components/error-note.tsx'
import { SelectField, TextField } from '../../components/field.tsx'
import { bytes } from '../../components/format.ts'
import { useRegistryChoices } from './registries.ts'
import { suggestRepository } from './suggest.ts'

const shownPaths = ['source', 'repository', 'tag', 'externalRegistryId']

/** Copies an image from another registry into ours. Closing ends it; what was copied stays for another run. */
export function ImportDialog({ onClose }: { onClose: () => void }) {
  const client = useClient()
  const [source, setSource] = useState('')
  const [typed, setTyped] = useState<string | null>(null)
  const [registry, setRegistry] = useState('')
  const [progress, setProgress] = useState<ImportProgress | null>(null)
  const registries = useRegistryChoices("The one registered for the image's host, if there is one")
  const stop = useRef(new AbortController())
  useEffect(() => {
    const mine = new AbortController()
    stop.current = mine
    return () => mine.abort()
  }, [])
  const repository = typed ?? suggestRepository(source)
  const run = useMutation({
    mutationFn: async () => {
      setProgress(null)
      const body = { source: source.trim(), repository, ...(registry === '' ? {} : { externalRegistryId: registry }) }
      for await (const line of client.images.import({ body, signal: stop.current.signal })) setProgress(line)
    },
  })
  const done = progress?.done ?? null
  return (
    <Dialog title="Import an image" onClose={onClose}>
      <form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          run.mutate()
        }}
      >
        <TextField
          label="Image"
          value={source}
          onChange={setSource}
          required
          disabled={run.isPending}
          spellCheck={false}
          autoCapitalize="none"
          placeholder="docker.io/library/nginx:1.29"
          hint="With a tag or a digest; without either the tag latest"
          error={faultAt(run.error, 'source')}
        />
        {registries.length > 1 && (
          <SelectField
            label="Credentials"
            value={registry}
            onChange={setRegistry}
            choices={registries}
            disabled={run.isPending}
          />
        )}
        <TextField
          label="Into repository"
          value={repository}
          onChange={setTyped}
          required
          disabled={run.isPending}
          spellCheck={false}
          autoCapitalize="none"
          placeholder="library/nginx"
          hint="In this registry; it is made where it does not exist"
          error={faultAt(run.error, 'repository')}
        />
        {progress !== null && <Progress progress={progress} />}
        <ErrorNote error={run.error} shownPaths={shownPaths} />
        <DialogActions>
          <Button onClick={onClose}>{done === null ? (run.isPending ? 'Stop' : 'Cancel') : 'Close'}</Button>
          {done === null && (
            <Button type="submit" look="primary" busy={run.isPending}>
              Import
            </Button>
          )}
        </DialogActions>
      </form>
    </Dialog>
  )
}

function Progress({ progress: { message, bytes: moved } }: { progress: ImportProgress }) {
  const present = Math.min(moved.present, moved.total)
  return (
    <div className="flex flex-col gap-1.5">
      <progress
        aria-label="Import"
        className="h-1.5 w-full accent-accent"
        max={Math.max(1, moved.total)}
        value={moved.total === 0 ? undefined : present}
      />
      <p role="status" className="text-sm break-words">
        {message}
      </p>
      {moved.total > 0 && (
        <p className="text-xs text-muted">
          {bytes(present)} of {bytes(moved.total)}
        </p>
      )}
    </div>
  )
}

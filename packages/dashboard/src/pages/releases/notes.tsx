import type { Release } from '@freehold/contracts'
import { useMutation } from '@tanstack/react-query'
import { useState } from 'react'
import { useClient } from '../../app/client.tsx'
import { Button } from '../../components/button.tsx'
import { Dialog, DialogActions } from '../../components/dialog.tsx'
import { ErrorNote, faultAt } from '../../components/error-note.tsx'
import { LinesField } from '../../components/field.tsx'

/** The one thing about a release that may change. */
export function NotesDialog({ release, onClose }: { release: Release; onClose: () => void }) {
  const client = useClient()
  const [notes, setNotes] = useState(release.data.notes)
  const save = useMutation({
    mutationFn: () => client.releases.update({ params: { id: release.id }, body: { data: { notes } } }),
    onSuccess: onClose,
  })
  return (
    <Dialog title="Edit notes" onClose={onClose} locked={save.isPending} wide>
      <form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          save.mutate()
        }}
      >
        <LinesField label="Notes" value={notes} onChange={setNotes} error={faultAt(save.error, 'data.notes')} />
        <ErrorNote error={save.error} shownPaths={['data.notes']} />
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

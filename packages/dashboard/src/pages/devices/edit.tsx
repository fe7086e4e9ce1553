import type { Device } from '@freehold/contracts'
import { useMutation } from '@tanstack/react-query'
import { useState } from 'react'
import { useClient } from '../../app/client.tsx'
import { Button } from '../../components/button.tsx'
import { Dialog, DialogActions } from '../../components/dialog.tsx'
import { ErrorNote, faultAt } from '../../components/error-note.tsx'
import { LinesField, TextField } from '../../components/field.tsx'
import { labelsOf, linesOf } from './labels.ts'

/** Name, description and labels; what another wrote meanwhile is not overwritten. */
export function EditDeviceDialog({ device, onClose }: { device: Device; onClose: () => void }) {
  const client = useClient()
  const [name, setName] = useState(device.data.name)
  const [description, setDescription] = useState(device.data.description)
  const [labels, setLabels] = useState(linesOf(device.labels))
  const save = useMutation({
    mutationFn: () =>
      client.devices.update({
        params: { id: device.id },
        body: { data: { name, description }, labels: labelsOf(labels) },
      }),
    onSuccess: onClose,
  })
  return (
    <Dialog title="Rename and label" onClose={onClose} locked={save.isPending}>
      <form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          save.mutate()
        }}
      >
        <TextField label="Name" required value={name} onChange={setName} error={faultAt(save.error, 'data.name')} />
        <TextField label="Description" value={description} onChange={setDescription} />
        <LinesField label="Labels" hint="One a line: key=value." value={labels} onChange={setLabels} />
        <ErrorNote error={save.error} shownPaths={['data.name']} />
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

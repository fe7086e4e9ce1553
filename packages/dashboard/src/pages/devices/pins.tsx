import type { Device } from '@freehold/contracts'
import { useMutation } from '@tanstack/react-query'
import { useState } from 'react'
import { useClient } from '../../app/client.tsx'
import { Button } from '../../components/button.tsx'
import { Dialog, DialogActions } from '../../components/dialog.tsx'
import { ErrorNote } from '../../components/error-note.tsx'
import { PinFields } from '../releases/pin-field.tsx'

/** What this device runs whatever its group and its channel say. */
export function PinsDialog({ device, onClose }: { device: Device; onClose: () => void }) {
  const client = useClient()
  const [pins, setPins] = useState({
    app: device.data.pinnedAppReleaseId ?? '',
    host: device.data.pinnedHostReleaseId ?? '',
  })
  const orNull = (id: string) => (id === '' ? null : id)
  const save = useMutation({
    mutationFn: () =>
      client.devices.update({
        params: { id: device.id },
        body: { data: { pinnedAppReleaseId: orNull(pins.app), pinnedHostReleaseId: orNull(pins.host) } },
      }),
    onSuccess: onClose,
  })
  return (
    <Dialog title={`Pin releases of ${device.data.name}`} onClose={onClose} locked={save.isPending} wide>
      <form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          save.mutate()
        }}
      >
        <p className="text-sm text-muted">
          A pin goes before its group and its channel, and no rollout changes it. It takes effect with the next
          heartbeat.
        </p>
        <PinFields
          app={pins.app}
          host={pins.host}
          onChange={(change) => setPins((before) => ({ ...before, ...change }))}
          none="Not pinned: group and channel decide"
        />
        <ErrorNote error={save.error} />
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

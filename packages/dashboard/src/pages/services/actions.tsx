import type { Service } from '@freehold/contracts'
import { useMutation } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { useClient } from '../../app/client.tsx'
import { useMay } from '../../app/session.ts'
import { Button } from '../../components/button.tsx'
import { Confirm } from '../../components/confirm.tsx'
import { Dialog, DialogActions } from '../../components/dialog.tsx'
import { ErrorNote, faultAt } from '../../components/error-note.tsx'
import { TextField } from '../../components/field.tsx'
import { TrashIcon } from '../../components/icons.tsx'
import { ActionsMenu, MenuItem } from '../../components/menu.tsx'

/** What can be done to a service as a whole. */
export function ServiceActions({ service }: { service: Service }) {
  const may = useMay()
  const [open, setOpen] = useState<'deploy' | 'delete' | null>(null)
  const close = () => setOpen(null)
  return (
    <>
      {may('services:deploy') && (
        <Button look="primary" onClick={() => setOpen('deploy')}>
          Deploy
        </Button>
      )}
      {may('services:write') && (
        <ActionsMenu label="More actions" look="secondary">
          <MenuItem danger onSelect={() => setOpen('delete')}>
            <TrashIcon />
            Delete service
          </MenuItem>
        </ActionsMenu>
      )}
      {open === 'deploy' && <DeployDialog service={service} onClose={close} />}
      {open === 'delete' && <DeleteDialog service={service} onClose={close} />}
    </>
  )
}

function DeployDialog({ service, onClose }: { service: Service; onClose: () => void }) {
  const client = useClient()
  const navigate = useNavigate()
  const before = service.data.imageVersion
  const [imageVersion, setImageVersion] = useState(before)
  const deploy = useMutation({
    mutationFn: () =>
      client.services.deploy({
        params: { id: service.id },
        body: imageVersion === before ? {} : { imageVersion },
      }),
    onSuccess: () => {
      onClose()
      void navigate({ to: '/services/$id', params: { id: service.id }, search: {} })
    },
  })
  return (
    <Dialog title={`Deploy ${service.data.name}`} onClose={onClose} locked={deploy.isPending}>
      <form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          deploy.mutate()
        }}
      >
        <p className="text-sm text-muted">
          Starts the new revision, and lets the old one go only when the new one has proved healthy.
        </p>
        <TextField
          label="Image version"
          value={imageVersion}
          onChange={setImageVersion}
          spellCheck={false}
          required
          hint="A tag or a digest. Another one than now becomes the version of the service."
          error={faultAt(deploy.error, 'imageVersion')}
        />
        <ErrorNote error={deploy.error} shownPaths={['imageVersion']} />
        <DialogActions>
          <Button onClick={onClose} disabled={deploy.isPending}>
            Cancel
          </Button>
          <Button type="submit" look="primary" busy={deploy.isPending}>
            Deploy
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  )
}

function DeleteDialog({ service, onClose }: { service: Service; onClose: () => void }) {
  const client = useClient()
  const navigate = useNavigate()
  const remove = useMutation({
    mutationFn: (_: undefined) => client.services.delete({ params: { id: service.id } }),
  })
  return (
    <Confirm
      title={`Delete ${service.data.name}?`}
      name={service.data.name}
      action="Delete service"
      mutation={remove}
      onClose={onClose}
      onDone={() => void navigate({ to: '/services' })}
    >
      <p>Its containers are stopped and removed from the cluster, and its revisions and rollouts are forgotten.</p>
      <p>Volumes and pushed images stay. This cannot be undone.</p>
    </Confirm>
  )
}

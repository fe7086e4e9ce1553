import type { Output } from '@freehold/client'
import type { Cluster, Routes } from '@freehold/contracts'
import { useMutation } from '@tanstack/react-query'
import { useState } from 'react'
import { useClient } from '../../app/client.tsx'
import { Button } from '../../components/button.tsx'
import { Command } from '../../components/copy.tsx'
import { Dialog, DialogActions } from '../../components/dialog.tsx'
import { ErrorNote, faultAt } from '../../components/error-note.tsx'
import { SelectField, TextField } from '../../components/field.tsx'
import { Ago } from '../../components/time.tsx'

const lifetimes = [
  { value: '3600', label: 'One hour' },
  { value: '86400', label: 'One day' },
  { value: '604800', label: 'One week' },
]
type Made = Output<Routes['enrolments']['create']>

/** Makes a JUMPCODE and shows, this once, what to run on the machine. */
export function AddNodeDialog({ cluster, onClose }: { cluster: Cluster; onClose: () => void }) {
  const client = useClient()
  const [uses, setUses] = useState('1')
  const [lifetime, setLifetime] = useState('3600')
  const create = useMutation({
    mutationFn: () =>
      client.enrolments.create({
        body: { data: { clusterId: cluster.id, uses: Number(uses), expiresInSeconds: Number(lifetime) } },
      }),
  })
  if (create.data !== undefined) return <MadeDialog made={create.data} onClose={onClose} />
  return (
    <Dialog title={`Add a node to ${cluster.data.name}`} onClose={onClose} locked={create.isPending}>
      <form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          create.mutate()
        }}
      >
        <p className="text-sm text-muted">
          Makes a one-time code, the JUMPCODE, with which an agent joins this cluster and registers a key of its own.
        </p>
        <div className="grid gap-4 sm:grid-cols-2">
          <TextField
            label="For how many machines"
            type="number"
            min={1}
            max={1000}
            required
            value={uses}
            onChange={setUses}
            error={faultAt(create.error, 'data.uses')}
          />
          <SelectField label="Valid for" value={lifetime} onChange={setLifetime} choices={lifetimes} />
        </div>
        <ErrorNote error={create.error} shownPaths={['data.uses']} />
        <DialogActions>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="primary" busy={create.isPending}>
            Make JUMPCODE
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  )
}

function MadeDialog({ made, onClose }: { made: Made; onClose: () => void }) {
  return (
    <Dialog title="Run this on the machine" onClose={onClose} wide>
      <p className="text-sm text-muted">
        The machine needs Docker, Node.js 20 or newer and a clone of Freehold, in which this is run. The code is shown
        this once, and expires <Ago at={made.resource.data.expiresAt} />.
      </p>
      <Command label="Join command" text={made.command} />
      <div className="flex flex-col gap-1">
        <p className="text-sm font-medium">Only the JUMPCODE</p>
        <Command label="JUMPCODE" text={made.jumpCode} />
      </div>
      <p className="text-sm text-muted">The node appears in the list as soon as its agent has joined.</p>
      <DialogActions>
        <Button look="primary" onClick={onClose}>
          Done
        </Button>
      </DialogActions>
    </Dialog>
  )
}

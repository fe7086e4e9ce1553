import { ApiError } from '@freehold/client'
import type { Channel, ReleaseType } from '@freehold/contracts'
import { useMutation } from '@tanstack/react-query'
import { useState } from 'react'
import { useClient } from '../../app/client.tsx'
import { Button } from '../../components/button.tsx'
import { Confirm } from '../../components/confirm.tsx'
import { Dialog, DialogActions } from '../../components/dialog.tsx'
import { ErrorNote, faultAt } from '../../components/error-note.tsx'
import { SelectField, TextField } from '../../components/field.tsx'

const shownPaths = ['data.name', 'data.description']

/** Makes a channel, or changes what may be changed of one. */
export function ChannelDialog({ channel, onClose }: { channel: Channel | null; onClose: () => void }) {
  const client = useClient()
  const [name, setName] = useState(channel?.data.name ?? '')
  const [type, setType] = useState<ReleaseType>(channel?.data.type ?? 'app')
  const [description, setDescription] = useState(channel?.data.description ?? '')
  const save = useMutation({
    mutationFn: async (): Promise<unknown> =>
      channel === null
        ? client.channels.create({ body: { data: { name, type, description } } })
        : client.channels.update({ params: { id: channel.id }, body: { data: { name, description } } }),
    onSuccess: onClose,
  })
  const verb = channel === null ? 'Make channel' : 'Save'
  return (
    <Dialog title={channel === null ? 'Make a channel' : `Edit ${channel.data.name}`} onClose={onClose}>
      <form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          save.mutate()
        }}
      >
        <TextField
          label="Name"
          value={name}
          onChange={setName}
          required
          spellCheck={false}
          autoComplete="off"
          placeholder="stable"
          hint="Lower-case letters, digits and -"
          error={nameFault(save.error)}
        />
        {channel === null && (
          <SelectField
            label="For releases of type"
            value={type}
            onChange={(value) => setType(value as ReleaseType)}
            choices={[
              { value: 'app', label: 'Application' },
              { value: 'host', label: 'Host system' },
            ]}
            hint="This never changes."
          />
        )}
        <TextField
          label="Description"
          value={description}
          onChange={setDescription}
          error={faultAt(save.error, 'data.description')}
        />
        <ErrorNote error={save.error} shownPaths={shownPaths} />
        <DialogActions>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="primary" busy={save.isPending}>
            {verb}
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  )
}

export function DeleteChannelDialog({ channel, onClose }: { channel: Channel; onClose: () => void }) {
  const client = useClient()
  const remove = useMutation({
    mutationFn: async (_: undefined): Promise<unknown> => client.channels.delete({ params: { id: channel.id } }),
  })
  return (
    <Confirm title={`Delete ${channel.data.name}?`} action="Delete channel" mutation={remove} onClose={onClose}>
      <p>Devices keep what they run. It is refused while a group follows it or a rollout of it is under way.</p>
    </Confirm>
  )
}

/** What is wrong with a name; that another has it already is said beside the field too. */
export function nameFault(error: unknown): string | undefined {
  const isTaken = error instanceof ApiError && error.code === 'already-exists'
  return isTaken ? 'Another one has this name already.' : faultAt(error, 'data.name')
}

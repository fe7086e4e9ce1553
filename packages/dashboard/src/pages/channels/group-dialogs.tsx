import type { DeviceGroup, ReleaseType } from '@freehold/contracts'
import { useMutation } from '@tanstack/react-query'
import { useState } from 'react'
import { useClient } from '../../app/client.tsx'
import { mergeDiff } from '../../app/diff.ts'
import { useList, wholePage } from '../../app/queries.ts'
import { Button } from '../../components/button.tsx'
import { Confirm } from '../../components/confirm.tsx'
import { Dialog, DialogActions } from '../../components/dialog.tsx'
import { ErrorNote, faultAt } from '../../components/error-note.tsx'
import { LinesField, SelectField, TextField } from '../../components/field.tsx'
import { labelsOf, linesOf } from '../devices/labels.ts'
import { PinFields } from '../releases/pin-field.tsx'
import { nameFault } from './channel-dialogs.tsx'

const shownPaths = ['data.name', 'data.description', 'data.selector', 'data.priority']

/** What of a group is being typed; an empty id is none. */
interface Draft {
  name: string
  description: string
  selector: string
  priority: string
  appChannelId: string
  hostChannelId: string
  app: string
  host: string
}

/** Makes a group, or changes one. */
export function GroupDialog({ group, onClose }: { group: DeviceGroup | null; onClose: () => void }) {
  const client = useClient()
  const [draft, setDraft] = useState(() => draftOf(group))
  const set = (change: Partial<Draft>) => setDraft((before) => ({ ...before, ...change }))
  const save = useMutation({
    mutationFn: async (): Promise<unknown> =>
      group === null
        ? client.deviceGroups.create({ body: { data: dataOf(draft) } })
        : client.deviceGroups.update({
            params: { id: group.id },
            body: { data: (mergeDiff(group.data, dataOf(draft)) ?? {}) as Partial<ReturnType<typeof dataOf>> },
          }),
    onSuccess: onClose,
  })
  const fault = (name: string) => faultAt(save.error, `data.${name}`)
  return (
    <Dialog
      title={group === null ? 'Make a device group' : `Edit ${group.data.name}`}
      onClose={onClose}
      locked={save.isPending}
      wide
    >
      <form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          save.mutate()
        }}
      >
        <div className="grid gap-4 sm:grid-cols-2">
          <TextField
            label="Name"
            value={draft.name}
            onChange={(name) => set({ name })}
            required
            spellCheck={false}
            autoComplete="off"
            placeholder="berlin"
            error={nameFault(save.error)}
          />
          <TextField
            label="Priority"
            type="number"
            min={0}
            max={1_000_000}
            value={draft.priority}
            onChange={(priority) => set({ priority })}
            required
            hint="Of several groups that select a device the smallest has it."
            error={fault('priority')}
          />
        </div>
        <TextField
          label="Description"
          value={draft.description}
          onChange={(description) => set({ description })}
          error={fault('description')}
        />
        <LinesField
          label="Labels of its devices"
          hint="One a line: key=value. A device must have them all. Empty: every device."
          placeholder="site=berlin"
          value={draft.selector}
          onChange={(selector) => set({ selector })}
          error={fault('selector')}
        />
        <div className="grid gap-4 sm:grid-cols-2">
          <ChannelField
            label="Application channel"
            type="app"
            value={draft.appChannelId}
            onChange={(appChannelId) => set({ appChannelId })}
          />
          <ChannelField
            label="Host system channel"
            type="host"
            value={draft.hostChannelId}
            onChange={(hostChannelId) => set({ hostChannelId })}
          />
        </div>
        <PinFields app={draft.app} host={draft.host} onChange={set} none="Not pinned: the channel decides" />
        <ErrorNote error={save.error} shownPaths={shownPaths} />
        <DialogActions>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="primary" busy={save.isPending}>
            {group === null ? 'Make group' : 'Save'}
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  )
}

function ChannelField(props: { label: string; type: ReleaseType; value: string; onChange: (value: string) => void }) {
  const { type, ...rest } = props
  const channels = useList('channels', { type, limit: wholePage })
  return (
    <SelectField
      {...rest}
      choices={[
        { value: '', label: 'None: they keep what they have' },
        ...channels.items.map(({ id, data }) => ({ value: id, label: data.name })),
      ]}
    />
  )
}

export function DeleteGroupDialog({ group, onClose }: { group: DeviceGroup; onClose: () => void }) {
  const client = useClient()
  const remove = useMutation({
    mutationFn: async (_: undefined): Promise<unknown> => client.deviceGroups.delete({ params: { id: group.id } }),
  })
  return (
    <Confirm title={`Delete ${group.data.name}?`} action="Delete group" mutation={remove} onClose={onClose}>
      <p>Its devices belong to the next group that selects them. Without one they keep what they run.</p>
    </Confirm>
  )
}

function draftOf(group: DeviceGroup | null): Draft {
  const data = group?.data
  return {
    name: data?.name ?? '',
    description: data?.description ?? '',
    selector: linesOf(data?.selector ?? {}),
    priority: String(data?.priority ?? 100),
    appChannelId: data?.appChannelId ?? '',
    hostChannelId: data?.hostChannelId ?? '',
    app: data?.pinnedAppReleaseId ?? '',
    host: data?.pinnedHostReleaseId ?? '',
  }
}

function dataOf(draft: Draft) {
  const orNull = (id: string) => (id === '' ? null : id)
  return {
    name: draft.name,
    description: draft.description,
    selector: labelsOf(draft.selector),
    priority: Number(draft.priority),
    appChannelId: orNull(draft.appChannelId),
    hostChannelId: orNull(draft.hostChannelId),
    pinnedAppReleaseId: orNull(draft.app),
    pinnedHostReleaseId: orNull(draft.host),
  }
}

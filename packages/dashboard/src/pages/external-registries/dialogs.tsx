import { useMutation } from '@tanstack/react-query'
import { useState } from 'react'
import { useClient } from '../../app/client.tsx'
import type { ItemOf } from '../../app/queries.ts'
import { Button } from '../../components/button.tsx'
import { Confirm } from '../../components/confirm.tsx'
import { Dialog, DialogActions } from '../../components/dialog.tsx'
import { ErrorNote, faultAt } from '../../components/error-note.tsx'
import { SelectField, TextField } from '../../components/field.tsx'

/** An external registry as it is shown: without its password. */
export type Registry = ItemOf<'externalRegistries'>
type Type = Registry['data']['type']
const types = [
  { value: 'docker', label: 'Container images' },
  { value: 'npm', label: 'npm packages' },
]
const shownPaths = ['data.name', 'data.type', 'data.url', 'data.username', 'data.password']

/** Adds a registry, or changes the one given. It is tested at once, so that the page says whether it works. */
export function RegistryDialog({ registry, onClose }: { registry: Registry | null; onClose: () => void }) {
  const client = useClient()
  const before = registry?.data
  const [name, setName] = useState(before?.name ?? '')
  const [type, setType] = useState<string>(before?.type ?? 'docker')
  const [url, setUrl] = useState(before?.url ?? 'https://')
  const [username, setUsername] = useState(before?.username ?? '')
  const [password, setPassword] = useState('')
  const given = password === '' ? {} : { password }
  const save = useMutation({
    mutationFn: async () => {
      const fields = { name, url, username, ...given }
      const saved =
        registry === null
          ? await client.externalRegistries.create({ body: { data: { ...fields, type: type as Type } } })
          : await client.externalRegistries.update({ params: { id: registry.id }, body: { data: fields } })
      return saved.id
    },
    onSuccess: (id) => {
      onClose()
      // What it finds comes back with the change feed.
      void client.externalRegistries.test({ params: { id } }).catch(() => undefined)
    },
  })
  const error = (field: string) => faultAt(save.error, `data.${field}`)
  const plain = { required: true, autoComplete: 'off', autoCapitalize: 'none', spellCheck: false } as const
  const title = registry === null ? 'Add registry' : `Edit ${registry.data.name}`
  return (
    <Dialog title={title} onClose={onClose} locked={save.isPending}>
      <form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          save.mutate()
        }}
      >
        <TextField {...plain} label="Name" value={name} onChange={setName} error={error('name')} />
        {registry === null && (
          <SelectField label="Holds" value={type} onChange={setType} choices={types} error={error('type')} />
        )}
        <TextField
          {...plain}
          label="Address"
          inputMode="url"
          value={url}
          onChange={setUrl}
          hint="Such as https://registry.example.com, or https://docker.io"
          error={error('url')}
        />
        <TextField
          {...plain}
          required={false}
          label="User name"
          value={username}
          onChange={setUsername}
          error={error('username')}
        />
        <TextField
          label="Password or token"
          type="password"
          autoComplete="new-password"
          value={password}
          onChange={setPassword}
          hint={before?.passwordSet === true ? 'Empty: as it is. It is never shown.' : 'Stored encrypted, never shown'}
          error={error('password')}
        />
        <ErrorNote error={save.error} shownPaths={shownPaths} />
        <DialogActions>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="primary" busy={save.isPending}>
            {registry === null ? 'Add registry' : 'Save'}
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  )
}

export function DeleteRegistryDialog({ registry, onClose }: { registry: Registry; onClose: () => void }) {
  const client = useClient()
  const remove = useMutation({
    mutationFn: (_: undefined) => client.externalRegistries.delete({ params: { id: registry.id } }),
  })
  return (
    <Confirm
      title={`Delete ${registry.data.name}?`}
      name={registry.data.name}
      action="Delete registry"
      mutation={remove}
      onClose={onClose}
    >
      <p>Its credentials go with it. It is kept while images name it.</p>
    </Confirm>
  )
}

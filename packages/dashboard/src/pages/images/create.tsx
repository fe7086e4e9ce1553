import { useMutation } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { useClient } from '../../app/client.tsx'
import { Button } from '../../components/button.tsx'
import { Dialog, DialogActions } from '../../components/dialog.tsx'
import { ErrorNote, faultAt } from '../../components/error-note.tsx'
import { SelectField, TextField } from '../../components/field.tsx'
import { useRegistryChoices } from './registries.ts'

type Where = 'elsewhere' | 'here' | 'mirror'
const places: { where: Where; label: string }[] = [
  { where: 'elsewhere', label: 'In another registry' },
  { where: 'here', label: 'In this registry, pushed by you' },
  { where: 'mirror', label: 'In this registry, filled on demand from another' },
]
const shownPaths = ['data.name', 'data.location']

/** Adds an image record: elsewhere, here, or a mirror. */
export function CreateDialog({ onClose }: { onClose: () => void }) {
  const client = useClient()
  const navigate = useNavigate()
  const [where, setWhere] = useState<Where>('elsewhere')
  const [name, setName] = useState('')
  const [source, setSource] = useState('')
  const [registry, setRegistry] = useState('')
  const registries = useRegistryChoices(where === 'mirror' ? 'Choose one' : 'No credentials: anybody may pull it')
  const create = useMutation({
    mutationFn: () => client.images.create({ body: { data: { name, location: location() } } }),
    onSuccess: ({ id }) => void navigate({ to: '/images/$id', params: { id } }),
  })
  const location = () => {
    if (where === 'here') return { internal: true } as const
    if (where === 'mirror') {
      return { internal: true, mirrorOf: { externalRegistryId: registry, repository: source } } as const
    }
    const credentials = registry === '' ? {} : { externalRegistryId: registry }
    return { internal: false, externalImage: source, ...credentials } as const
  }
  return (
    <Dialog title="Add image" onClose={onClose} locked={create.isPending}>
      <form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          create.mutate()
        }}
      >
        <fieldset className="flex flex-col gap-2">
          <legend className="mb-1 text-sm font-medium">Where it lives</legend>
          {places.map((place) => (
            <label key={place.where} className="flex items-center gap-2 text-sm">
              <input
                type="radio"
                name="where"
                className="accent-accent"
                checked={where === place.where}
                onChange={() => setWhere(place.where)}
              />
              {place.label}
            </label>
          ))}
        </fieldset>
        {where !== 'here' && (where === 'mirror' || registries.length > 1) && (
          <SelectField
            label="Registry"
            value={registry}
            onChange={setRegistry}
            choices={registries}
            hint={registries.length > 1 ? undefined : 'There is none yet: add it on the page Registries first.'}
          />
        )}
        {where !== 'here' && (
          <TextField
            label={where === 'mirror' ? 'Repository there' : 'Image'}
            value={source}
            onChange={setSource}
            required
            spellCheck={false}
            autoCapitalize="none"
            placeholder={where === 'mirror' ? 'library/nginx' : 'docker.io/library/nginx'}
            hint={where === 'mirror' ? 'Without host and tag' : 'Without a tag; the service says which version'}
            error={faultAt(create.error, 'data.location')}
          />
        )}
        <TextField
          label="Name"
          value={name}
          onChange={setName}
          required
          spellCheck={false}
          autoCapitalize="none"
          placeholder={where === 'here' ? 'workloads/web' : where === 'mirror' ? 'mirror/nginx' : 'nginx'}
          hint={where === 'elsewhere' ? 'What it is called here' : 'Its repository in this registry'}
          error={faultAt(create.error, 'data.name')}
        />
        <ErrorNote error={create.error} shownPaths={shownPaths} />
        <DialogActions>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="primary" busy={create.isPending} disabled={where === 'mirror' && registry === ''}>
            Add image
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  )
}

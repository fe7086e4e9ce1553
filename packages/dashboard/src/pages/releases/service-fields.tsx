import { IconButton } from '../../components/button.tsx'
import { CheckField, LinesField, SelectField, TextField } from '../../components/field.tsx'
import { TrashIcon } from '../../components/icons.tsx'
import type { ServiceDraft } from './draft.ts'
import { ImageField } from './image-field.tsx'

const restarts = [
  { value: 'always', label: 'Always' },
  { value: 'unless-stopped', label: 'Unless stopped' },
  { value: 'on-failure', label: 'On failure' },
  { value: 'no', label: 'Never' },
]
const networks = [
  { value: 'bridge', label: 'Of its own' },
  { value: 'host', label: 'That of the host' },
]
const pair = 'grid gap-3 sm:grid-cols-2'

/** One container of a release. */
export function ServiceFields(props: {
  index: number
  service: ServiceDraft
  set: (change: Partial<ServiceDraft>) => void
  fault: (path: string) => string | undefined
  onRemove: (() => void) | null
}) {
  const { index, service, set, onRemove } = props
  const fault = (name: string) => props.fault(`data.services.${index}.${name}`)
  const title = service.name === '' ? `Service ${index + 1}` : service.name
  return (
    <fieldset className="flex min-w-0 flex-col gap-3 rounded-lg border border-line p-4 pt-3">
      <legend className="float-left flex w-full items-center justify-between text-sm font-semibold">
        <span className="wrap-anywhere">{title}</span>
        {onRemove !== null && (
          <IconButton label={`Remove ${title}`} onClick={onRemove}>
            <TrashIcon />
          </IconButton>
        )}
      </legend>
      <div className={pair}>
        <TextField
          label="Service name"
          value={service.name}
          onChange={(name) => set({ name })}
          required
          spellCheck={false}
          autoComplete="off"
          placeholder="web"
          hint="Lower-case letters, digits and -"
          error={fault('name')}
        />
        <ImageField
          label="Image"
          value={service.image}
          onChange={(image) => set({ image })}
          required
          error={fault('image')}
        />
        <LinesField
          label="Environment"
          placeholder="MODE=shop"
          hint="NAME=value, one a line. Devices can read it; put no secrets here."
          value={service.environment}
          onChange={(environment) => set({ environment })}
          error={fault('environment')}
        />
        <LinesField
          label="Ports"
          placeholder="80:8080"
          hint="On the device : in the container, one a line; 53:53/udp for UDP."
          value={service.ports}
          onChange={(ports) => set({ ports })}
          error={fault('ports')}
        />
        <LinesField
          label="Volumes"
          placeholder="data:/data"
          hint="name:/path, one a line. They outlive releases."
          value={service.volumes}
          onChange={(volumes) => set({ volumes })}
          error={fault('volumes')}
        />
        <LinesField
          label="Command"
          hint="One argument a line. Empty: what the image says."
          value={service.command}
          onChange={(command) => set({ command })}
          error={fault('command')}
        />
      </div>
      <details className="text-sm">
        <summary className="w-fit rounded text-muted hover:text-ink">Restart, network, labels and rights</summary>
        <div className="mt-3 flex flex-col gap-3">
          <div className={pair}>
            <SelectField
              label="Restarted"
              value={service.restart}
              onChange={(value) => set({ restart: value as ServiceDraft['restart'] })}
              choices={restarts}
            />
            <SelectField
              label="Network"
              value={service.network}
              onChange={(value) => set({ network: value as ServiceDraft['network'] })}
              choices={networks}
              error={fault('network')}
            />
          </div>
          <LinesField
            label="Container labels"
            placeholder="io.balena.features.supervisor-api=1"
            hint="key=value, one a line."
            value={service.labels}
            onChange={(labels) => set({ labels })}
            error={fault('labels')}
          />
          <CheckField
            label="Privileged"
            hint="It may do all that the host may."
            checked={service.privileged}
            onChange={(privileged) => set({ privileged })}
          />
        </div>
      </details>
    </fieldset>
  )
}

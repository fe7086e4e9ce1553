import { ApiError } from '@freehold/client'
import { useMutation } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { useRef, useState } from 'react'
import { useClient } from '../../app/client.tsx'
import { useMay } from '../../app/session.ts'
import { Button, ButtonLink } from '../../components/button.tsx'
import { ErrorNote, faultAt } from '../../components/error-note.tsx'
import { FieldGroup, LinesField, SelectField, TextField } from '../../components/field.tsx'
import { PlusIcon } from '../../components/icons.tsx'
import { Card, Empty, Page } from '../../components/page.tsx'
import { emptyDraft, emptyService, type Faults, inputOf, type ReleaseDraft } from './draft.ts'
import { HostFields } from './host-fields.tsx'
import { typeWords } from './list.tsx'
import { ServiceFields } from './service-fields.tsx'

const serviceFields = ['name', 'image', 'environment', 'ports', 'volumes', 'command', 'labels', 'network']
const shownPaths = ['data.product', 'data.version', 'data.notes', 'data.deviceTypes', 'data.host']

export function CreateReleasePage() {
  const may = useMay()
  return (
    <Page
      title="Make release"
      parent={{ to: '/releases', label: 'Releases' }}
      lead={<p>Its images are fixed to their digests now. Afterwards nothing of it but its notes can be changed.</p>}
    >
      {may('releases:write') ? (
        <CreateForm />
      ) : (
        <Empty title="Your role may not make releases.">Ask an administrator for a role that may.</Empty>
      )}
    </Page>
  )
}

function CreateForm() {
  const client = useClient()
  const navigate = useNavigate()
  const [draft, setDraft] = useState<ReleaseDraft>(emptyDraft)
  const [unreadable, setUnreadable] = useState<Faults>({})
  const nextKey = useRef(draft.services.length)
  const create = useMutation({
    mutationFn: (data: ReturnType<typeof inputOf>['input']) => client.releases.create({ body: { data } }),
    onSuccess: ({ id }) => void navigate({ to: '/releases/$id', params: { id } }),
  })
  const set = (change: Partial<ReleaseDraft>) => setDraft((before) => ({ ...before, ...change }))
  const fault = (path: string) => unreadable[path] ?? faultAt(create.error, path)
  const submit = () => {
    const { input, faults } = inputOf(draft)
    setUnreadable(faults)
    if (Object.keys(faults).length === 0) create.mutate(input)
  }
  const isTaken = create.error instanceof ApiError && create.error.code === 'already-exists'
  const { services } = draft
  return (
    <form
      className="max-w-3xl"
      onSubmit={(event) => {
        event.preventDefault()
        submit()
      }}
    >
      <Card>
        <FieldGroup title="What it is">
          <div className="grid gap-3 sm:grid-cols-2">
            <SelectField
              label="Type"
              value={draft.type}
              onChange={(type) => set({ type: type as ReleaseDraft['type'] })}
              choices={[
                { value: 'app', label: `${typeWords.app}: containers` },
                { value: 'host', label: `${typeWords.host}: what is below them` },
              ]}
            />
            {draft.type === 'app' && (
              <TextField
                label="Product"
                value={draft.product}
                onChange={(product) => set({ product })}
                required
                spellCheck={false}
                autoComplete="off"
                placeholder="shop"
                hint="The same for all versions"
                error={fault('data.product')}
              />
            )}
            <TextField
              label="Version"
              value={draft.version}
              onChange={(version) => set({ version })}
              required
              spellCheck={false}
              autoComplete="off"
              placeholder="1.0.0"
              hint="A semantic version, such as 1.4.0 or 1.5.0-beta.1"
              error={isTaken ? create.error?.message : fault('data.version')}
            />
            {draft.type === 'app' && (
              <LinesField
                label="Types of device"
                hint="One a line. Empty: any."
                placeholder="raspberrypi4-64"
                value={draft.deviceTypes}
                onChange={(deviceTypes) => set({ deviceTypes })}
                error={fault('data.deviceTypes')}
              />
            )}
          </div>
          <LinesField
            label="Notes"
            hint="For people: what is new."
            value={draft.notes}
            onChange={(notes) => set({ notes })}
            error={fault('data.notes')}
          />
        </FieldGroup>
        {draft.type === 'host' ? (
          <FieldGroup title="Host system">
            <HostFields draft={draft} set={set} fault={fault} />
          </FieldGroup>
        ) : (
          <FieldGroup title="Services">
            {services.map((service, index) => (
              <ServiceFields
                key={service.key}
                index={index}
                service={service}
                set={(change) =>
                  set({ services: services.map((one) => (one.key === service.key ? { ...one, ...change } : one)) })
                }
                fault={fault}
                onRemove={
                  services.length === 1
                    ? null
                    : () => set({ services: services.filter(({ key }) => key !== service.key) })
                }
              />
            ))}
            <div>
              <Button
                onClick={() => {
                  nextKey.current += 1
                  set({ services: [...services, emptyService(nextKey.current)] })
                }}
              >
                <PlusIcon />
                Add service
              </Button>
            </div>
          </FieldGroup>
        )}
        {Object.keys(unreadable).length > 0 && (
          <p role="alert" className="text-sm font-medium text-bad">
            Some lines cannot be read; they are named beside their fields.
          </p>
        )}
        <ErrorNote error={create.error} shownPaths={[...shownPaths, ...pathsOf(services.length)]} />
        <div className="flex justify-end gap-2">
          <ButtonLink to="/releases">Cancel</ButtonLink>
          <Button type="submit" look="primary" busy={create.isPending}>
            Make release
          </Button>
        </div>
      </Card>
    </form>
  )
}

/** Paths of the fields that a form of so many services shows. */
function pathsOf(services: number): string[] {
  return Array.from({ length: services }, (_, index) =>
    serviceFields.map((name) => `data.services.${index}.${name}`),
  ).flat()
}

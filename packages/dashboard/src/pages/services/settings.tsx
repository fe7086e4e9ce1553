import type { Service, serviceData } from '@freehold/contracts'
import { useMutation } from '@tanstack/react-query'
import { useState } from 'react'
import type { z } from 'zod'
import { useClient } from '../../app/client.tsx'
import { mergeDiff } from '../../app/diff.ts'
import { useOne } from '../../app/queries.ts'
import { Button } from '../../components/button.tsx'
import { ErrorNote, faultAt } from '../../components/error-note.tsx'
import { type DraftProps, Warning } from '../../components/field.tsx'
import { Card } from '../../components/page.tsx'
import { applyDraft, type Draft, draftOf, replicasOf } from './draft.ts'
import { crowding } from './reach.ts'
import { AdmissionFields } from './settings-admission.tsx'
import { EnvironmentFields } from './settings-environment.tsx'
import { HealthFields, ImageFields, PortFields, ReplicaFields, RolloutFields } from './settings-fields.tsx'

const shownPaths = [
  'data.imageVersion',
  'data.description',
  'data.scaleFactor',
  'data.maxReplicas',
  'data.environment',
  'data.command',
  'data.ports',
  'data.healthCheck',
  'data.resources',
  'data.rollout',
  'data.stopGraceSeconds',
  'data.admission',
]

/** Everything about a service that may be changed. Only what was changed here is sent. */
export function Settings({ service }: { service: Service }) {
  const client = useClient()
  const { data: cluster } = useOne('clusters', service.data.clusterId)
  const [base, setBase] = useState({ data: service.data, generation: service.generation })
  const [draft, setDraft] = useState(() => draftOf(service.data))
  const patch = mergeDiff(base.data, applyDraft(base.data, draft))
  const reset = (to: Service) => {
    setBase({ data: to.data, generation: to.generation })
    setDraft(draftOf(to.data))
  }
  const save = useMutation({
    mutationFn: () => client.services.update({ params: { id: service.id }, body: { data: patch as ServicePatch } }),
    onSuccess: (saved) => reset(saved),
  })
  const fields: DraftProps<Draft> = {
    draft,
    set: (change) => setDraft((before) => ({ ...before, ...change })),
    fault: (path) => faultAt(save.error, path),
  }
  const crowded = crowding({
    replicas: replicasOf(draft),
    machines: cluster?.status.swarmNodes.length ?? 0,
    isPublished: draft.published.length > 0,
  })
  const isBehind = service.generation > base.generation && !save.isPending
  return (
    <form
      className="max-w-3xl"
      onSubmit={(event) => {
        event.preventDefault()
        save.mutate()
      }}
    >
      <Card>
        {isBehind && (
          <div
            role="status"
            className="flex flex-wrap items-center justify-between gap-2 rounded-md bg-warn-soft px-3 py-2 text-sm"
          >
            <span>
              Someone else has changed this service since you opened it. Saving changes only the fields you changed.
            </span>
            <Button onClick={() => reset(service)}>Discard mine, show theirs</Button>
          </div>
        )}
        <ImageFields {...fields} />
        <ReplicaFields {...fields} />
        <EnvironmentFields {...fields} />
        <PortFields {...fields} />
        <HealthFields {...fields} />
        <RolloutFields {...fields} />
        <AdmissionFields {...fields} />
        <ErrorNote error={save.error} shownPaths={shownPaths} />
        <div className="sticky bottom-0 -mx-4 -mb-4 flex flex-col gap-3 rounded-b-lg border-t border-line bg-surface px-4 py-3">
          <Warning>{patch === undefined ? undefined : crowded}</Warning>
          <div className="flex items-center justify-end gap-2">
            <span role="status" className="mr-auto text-sm text-muted">
              {patch === undefined
                ? save.isSuccess
                  ? 'Saved.'
                  : 'Nothing changed.'
                : 'Saving starts a rollout if what runs changes.'}
            </span>
            <Button disabled={patch === undefined} onClick={() => reset(service)}>
              Discard
            </Button>
            <Button type="submit" look="primary" disabled={patch === undefined} busy={save.isPending}>
              Save
            </Button>
          </div>
        </div>
      </Card>
    </form>
  )
}

type ServicePatch = { [Name in keyof z.input<typeof serviceData>]?: never }

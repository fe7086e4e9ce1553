import type { Cluster } from '@freehold/contracts'
import { useMutation } from '@tanstack/react-query'
import { getRouteApi, useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { useClient } from '../../app/client.tsx'
import { useList, wholePage } from '../../app/queries.ts'
import { useMay } from '../../app/session.ts'
import { Button, ButtonLink } from '../../components/button.tsx'
import { ErrorNote, faultAt } from '../../components/error-note.tsx'
import { SelectField, TextField, Warning } from '../../components/field.tsx'
import { Card, Empty, Page, Skeleton } from '../../components/page.tsx'
import type { ServiceInput } from './draft.ts'
import { crowding } from './reach.ts'

const route = getRouteApi('/shell/services/new')
const shownPaths = [
  'data.name',
  'data.clusterId',
  'data.imageId',
  'data.imageVersion',
  'data.scaleFactor',
  'data.ports',
]

/** Asks only what a first service needs; everything else is under its settings. */
export function CreateServicePage() {
  const may = useMay()
  const clusters = useList('clusters', { limit: wholePage })
  return (
    <Page title="Create service" parent={{ to: '/services', label: 'Services' }}>
      {!may('services:write') ? (
        <Empty title="Your role may not create services.">Ask an administrator for a role that may.</Empty>
      ) : clusters.isPending ? (
        <Skeleton rows={5} />
      ) : clusters.items.length === 0 ? (
        <Empty
          title="There is no cluster to run it on."
          action={<ButtonLink to="/clusters">Go to clusters</ButtonLink>}
        />
      ) : (
        <CreateForm clusters={clusters.items} />
      )}
    </Page>
  )
}

function CreateForm({ clusters }: { clusters: Cluster[] }) {
  const { cluster } = route.useSearch()
  const client = useClient()
  const navigate = useNavigate()
  const images = useList('images', { limit: wholePage })
  const [name, setName] = useState('')
  const [clusterId, setClusterId] = useState(cluster ?? clusters[0]?.id ?? '')
  const [imageId, setImageId] = useState('')
  const [imageVersion, setImageVersion] = useState('latest')
  const [replicas, setReplicas] = useState('1')
  const [web, setWeb] = useState('')
  const [published, setPublished] = useState('')
  const create = useMutation({
    mutationFn: () => {
      const data: ServiceInput = {
        name,
        clusterId,
        imageVersion,
        scaleFactor: Number(replicas),
        ...(imageId === '' ? {} : { imageId }),
        ...(web === '' ? {} : { ports: firstPorts(web, published) }),
      }
      return client.services.create({ body: { data } })
    },
    onSuccess: ({ id }) => void navigate({ to: '/services/$id', params: { id } }),
  })
  const crowded = crowding({
    replicas: Number(replicas),
    machines: clusters.find(({ id }) => id === clusterId)?.status.swarmNodes.length ?? 0,
    isPublished: published !== '',
  })
  const fault = (path: string) => faultAt(create.error, path)
  return (
    <form
      className="max-w-xl"
      onSubmit={(event) => {
        event.preventDefault()
        create.mutate()
      }}
    >
      <Card>
        <TextField
          label="Name"
          value={name}
          onChange={setName}
          required
          autoComplete="off"
          spellCheck={false}
          placeholder="web"
          hint="Lower-case letters, digits and -"
          error={fault('data.name')}
        />
        <SelectField
          label="Cluster"
          value={clusterId}
          onChange={setClusterId}
          choices={clusters.map(({ id, data }) => ({ value: id, label: data.name }))}
          error={fault('data.clusterId')}
        />
        <SelectField
          label="Image"
          value={imageId}
          onChange={setImageId}
          choices={[
            { value: '', label: 'An image of its own, pushed by you' },
            ...images.items.map(({ id, data }) => ({ value: id, label: data.name })),
          ]}
          hint={
            imageId === ''
              ? 'It waits for your first docker push; the next page has the commands.'
              : 'It is deployed at once if this version exists.'
          }
          error={fault('data.imageId')}
        />
        <div className="grid gap-4 sm:grid-cols-2">
          <TextField
            label="Image version"
            value={imageVersion}
            onChange={setImageVersion}
            required
            spellCheck={false}
            hint="A tag or a digest"
            error={fault('data.imageVersion')}
          />
          <TextField
            label="Replicas"
            type="number"
            min={0}
            max={1000}
            value={replicas}
            onChange={setReplicas}
            required
            error={fault('data.scaleFactor')}
          />
          <TextField
            label="Web port"
            type="number"
            min={1}
            max={65_535}
            value={web}
            onChange={setWeb}
            required={published !== ''}
            placeholder={published === '' ? 'None' : ''}
            hint="What the container serves on; asked for health"
            error={fault('data.ports.web')}
          />
          <TextField
            label="Published port"
            type="number"
            min={1}
            max={65_535}
            value={published}
            onChange={setPublished}
            placeholder="None"
            hint={
              <>
                Where people reach it:{' '}
                <span className="whitespace-nowrap">{`http://<node>:${published || '<port>'}`}</span>
              </>
            }
            error={fault('data.ports.published')}
          />
        </div>
        <Warning>{crowded}</Warning>
        <ErrorNote error={create.error} shownPaths={shownPaths} />
        <div className="flex justify-end gap-2">
          <ButtonLink to="/services">Cancel</ButtonLink>
          <Button type="submit" look="primary" busy={create.isPending}>
            Create service
          </Button>
        </div>
      </Card>
    </form>
  )
}

/** `published` empty: nothing of the node leads to it. */
function firstPorts(web: string, published: string): ServiceInput['ports'] {
  const target = Number(web)
  return { web: target, published: published === '' ? [] : [{ target, published: Number(published) }] }
}

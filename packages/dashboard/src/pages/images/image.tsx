import type { Image, ImageSummary, Service } from '@freehold/contracts'
import { useMutation } from '@tanstack/react-query'
import { getRouteApi, Link, useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { useClient } from '../../app/client.tsx'
import { OnePage } from '../../app/one-page.tsx'
import { useList, useOne, wholePage } from '../../app/queries.ts'
import { useMay } from '../../app/session.ts'
import { Button } from '../../components/button.tsx'
import { Confirm } from '../../components/confirm.tsx'
import { bytes } from '../../components/format.ts'
import { Card, Facts, Page, Quiet, Section, Skeleton } from '../../components/page.tsx'
import { State } from '../../components/state.tsx'
import { TabPanel, Tabs } from '../../components/tabs.tsx'
import { Ago } from '../../components/time.tsx'
import { useSummary } from './contents.ts'
import { Manifests } from './manifests.tsx'
import { Policy } from './policy.tsx'
import { PushHelp } from './pull.tsx'
import type { ImageTab } from './tabs.ts'
import { Tags } from './tags.tsx'

const route = getRouteApi('/shell/images/$id')

export function ImagePage() {
  const { id } = route.useParams()
  const image = useOne('images', id)
  return (
    <OnePage query={image} title="Image" what="image" list={{ to: '/images', label: 'Images' }}>
      {(image) => <Loaded image={image} />}
    </OnePage>
  )
}

function Loaded({ image }: { image: Image }) {
  const { data } = image
  const mayWrite = useMay()('images:write')
  const [isDeleting, setDeleting] = useState(false)
  return (
    <Page
      title={data.name}
      parent={{ to: '/images', label: 'Images' }}
      {...(data.description === '' ? {} : { lead: data.description })}
      actions={
        mayWrite && (
          <Button look="danger" onClick={() => setDeleting(true)}>
            Delete
          </Button>
        )
      }
    >
      {data.location.internal ? <Repository image={image} /> : <Elsewhere image={image} />}
      {isDeleting && <DeleteDialog image={image} onClose={() => setDeleting(false)} />}
    </Page>
  )
}

/** A repository of ours, with all that is in it. */
function Repository({ image }: { image: Image }) {
  const { tab = 'tags' } = route.useSearch()
  const navigate = route.useNavigate()
  const mayWrite = useMay()('images:write')
  const tabs: { name: ImageTab; label: string }[] = [
    { name: 'tags', label: 'Tags' },
    { name: 'manifests', label: 'Manifests' },
    ...(mirrorOf(image) === undefined ? [{ name: 'push', label: 'How to push' } as const] : []),
    ...(mayWrite ? [{ name: 'policy', label: 'Policy' } as const] : []),
  ]
  return (
    <>
      <Card>
        <Contents image={image} />
      </Card>
      <Tabs
        label="Image"
        tabs={tabs}
        open={tab}
        onOpen={(name) => void navigate({ search: name === 'tags' ? {} : { tab: name }, replace: true })}
      >
        <TabPanel name="tags">
          <Tags image={image} />
        </TabPanel>
        <TabPanel name="manifests">
          <Manifests image={image} />
        </TabPanel>
        <TabPanel name="push">{mirrorOf(image) === undefined && <PushHelp name={image.data.name} />}</TabPanel>
        <TabPanel name="policy">
          <Policy key={image.id} image={image} />
        </TabPanel>
      </Tabs>
    </>
  )
}

function Contents({ image }: { image: Image }) {
  const summary = useSummary(image.id)
  const { lastPushAt, usedBytes } = image.status
  const { quotaBytes } = image.data
  const loaded = summary.data
  const mirror = mirrorOf(image)
  return (
    <Facts
      facts={[
        ...(mirror === undefined ? [] : [['Filled from', <Mirrored key="mirror" {...mirror} />] as const]),
        ['Tags', loaded ? loaded.tagCount.toLocaleString('en') : '…'],
        ['Size', quotaBytes === undefined ? bytes(usedBytes) : `${bytes(usedBytes)} of ${bytes(quotaBytes)}`],
        [
          'Last push',
          lastPushAt === null ? (
            'never'
          ) : (
            <span key="push">
              <Ago at={lastPushAt} />
              {loaded?.lastPushBy && ` by ${loaded.lastPushBy}`}
            </span>
          ),
        ],
        ['Who may pull', image.data.anonymousPull === true ? 'anybody' : 'whoever is signed in'],
        ['Used by', loaded ? <Users key="users" services={loaded.services} /> : '…'],
      ]}
    />
  )
}

/** Where a mirror fetches from; undefined for what people push to. */
function mirrorOf({ data: { location } }: Image) {
  return location.internal ? location.mirrorOf : undefined
}

function Mirrored({ externalRegistryId, repository }: { externalRegistryId: string; repository: string }) {
  const registry = useOne('externalRegistries', externalRegistryId)
  return (
    <>
      <code className="font-mono text-xs break-all">{repository}</code> at {registry.data?.data.name ?? '…'}
    </>
  )
}

function Users({ services }: { services: ImageSummary['services'] }) {
  if (services.length === 0) return <span className="text-muted">no service</span>
  return (
    <span className="flex flex-wrap gap-x-3">
      {services.map(({ id, name }) => (
        <Link key={id} to="/services/$id" params={{ id }} className="hover:underline">
          {name}
        </Link>
      ))}
    </span>
  )
}

/** An image that lives in another registry. */
function Elsewhere({ image }: { image: Image }) {
  const users = useList('services', { imageId: image.id, limit: wholePage })
  const { location } = image.data
  return (
    <>
      <Section title="About">
        <Facts
          facts={[
            [
              'Where it lives',
              <code key="where" className="font-mono text-xs break-all">
                {location.internal ? '' : location.externalImage}
              </code>,
            ],
            ['Made', <Ago key="made" at={image.createdAt} />],
          ]}
        />
      </Section>
      <Section title="Used by" flush>
        {users.isPending ? <Skeleton rows={1} /> : <UsedBy services={users.items} />}
      </Section>
    </>
  )
}

function UsedBy({ services }: { services: Service[] }) {
  if (services.length === 0) return <Quiet>No service uses it.</Quiet>
  return (
    <ul className="divide-y divide-line overflow-hidden rounded-lg border border-line bg-surface">
      {services.map(({ id, data, status }) => (
        <li key={id}>
          <Link
            to="/services/$id"
            params={{ id }}
            className="flex items-center gap-3 px-4 py-2.5 hover:bg-sunken focus-visible:-outline-offset-2"
          >
            <span className="font-medium">{data.name}</span>
            <code className="min-w-0 flex-1 truncate font-mono text-xs text-muted">{data.imageVersion}</code>
            <State state={status.state} />
          </Link>
        </li>
      ))}
    </ul>
  )
}

function DeleteDialog({ image, onClose }: { image: Image; onClose: () => void }) {
  const client = useClient()
  const navigate = useNavigate()
  const remove = useMutation({ mutationFn: (_: undefined) => client.images.delete({ params: { id: image.id } }) })
  return (
    <Confirm
      title={`Delete ${image.data.name}?`}
      name={image.data.name}
      action="Delete image"
      mutation={remove}
      onClose={onClose}
      onDone={() => void navigate({ to: '/images' })}
    >
      <p>
        {image.data.location.internal
          ? 'Its tags, manifests and layers go with it.'
          : 'The image itself stays where it lives.'}
      </p>
    </Confirm>
  )
}

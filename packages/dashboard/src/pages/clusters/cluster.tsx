import type { Cluster } from '@freehold/contracts'
import { useMutation } from '@tanstack/react-query'
import { getRouteApi, useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { useClient } from '../../app/client.tsx'
import { OnePage } from '../../app/one-page.tsx'
import { useList, useOne, wholePage } from '../../app/queries.ts'
import { useMay } from '../../app/session.ts'
import { Button, ButtonLink } from '../../components/button.tsx'
import { Confirm } from '../../components/confirm.tsx'
import { Drift } from '../../components/drift.tsx'
import { ErrorNote } from '../../components/error-note.tsx'
import { PlusIcon, TrashIcon } from '../../components/icons.tsx'
import { ActionsMenu, MenuItem } from '../../components/menu.tsx'
import { Facts, Page, Section, Skeleton } from '../../components/page.tsx'
import { State } from '../../components/state.tsx'
import { AddNodeDialog } from './add-node.tsx'
import { Enrolments } from './enrolments.tsx'
import { Nodes } from './nodes.tsx'
import { SwarmMachines } from './swarm-machines.tsx'

const route = getRouteApi('/shell/clusters/$id')

export function ClusterPage() {
  const { id } = route.useParams()
  const cluster = useOne('clusters', id)
  return (
    <OnePage query={cluster} title="Cluster" what="cluster" list={{ to: '/clusters', label: 'Clusters' }}>
      {(cluster) => <Loaded cluster={cluster} />}
    </OnePage>
  )
}

function Loaded({ cluster }: { cluster: Cluster }) {
  const { data, status } = cluster
  const may = useMay()
  const nodes = useList('nodes', { clusterId: cluster.id, limit: wholePage })
  const [open, setOpen] = useState<'add' | 'delete' | null>(null)
  const addButton = may('clusters:write') && (
    <Button look="primary" onClick={() => setOpen('add')}>
      <PlusIcon />
      Add a node
    </Button>
  )
  return (
    <Page
      title={data.name}
      parent={{ to: '/clusters', label: 'Clusters' }}
      mark={<State state={status.state} />}
      lead={<p aria-live="polite">{status.message || data.description}</p>}
      actions={
        <>
          {addButton}
          {may('clusters:write') && (
            <ActionsMenu label="More actions" look="secondary">
              <MenuItem danger onSelect={() => setOpen('delete')}>
                <TrashIcon />
                Delete cluster
              </MenuItem>
            </ActionsMenu>
          )}
        </>
      }
    >
      <Section title="Nodes" lead="Machines with an agent." flush>
        {nodes.isPending ? (
          <Skeleton rows={3} />
        ) : nodes.error !== null ? (
          <ErrorNote error={nodes.error} />
        ) : (
          <Nodes nodes={nodes.items} add={addButton} />
        )}
      </Section>
      {may('clusters:write') && <Enrolments clusterId={cluster.id} />}
      <Section title="About">
        <Facts
          facts={[
            ['Docker engine', status.engineVersion ?? 'not known yet'],
            [
              'Swarm',
              status.swarmId === null ? (
                'not known yet'
              ) : (
                <code key="swarm" className="font-mono text-xs">
                  {status.swarmId}
                </code>
              ),
            ],
            ['Reported generation', status.observedGeneration],
            ['Description', data.description === '' ? '–' : data.description],
          ]}
        />
        <div>
          <ButtonLink to="/services" search={{ cluster: cluster.id }}>
            Services of this cluster
          </ButtonLink>
        </div>
      </Section>
      <SwarmMachines machines={status.swarmNodes} />
      <Section title="Drift" lead="What was found changed by hand, and put right." flush>
        <Drift entries={status.drift} />
      </Section>
      {open === 'add' && <AddNodeDialog cluster={cluster} onClose={() => setOpen(null)} />}
      {open === 'delete' && <DeleteDialog cluster={cluster} onClose={() => setOpen(null)} />}
    </Page>
  )
}

function DeleteDialog({ cluster, onClose }: { cluster: Cluster; onClose: () => void }) {
  const client = useClient()
  const navigate = useNavigate()
  const remove = useMutation({
    mutationFn: (_: undefined) => client.clusters.delete({ params: { id: cluster.id } }),
  })
  return (
    <Confirm
      title={`Delete ${cluster.data.name}?`}
      name={cluster.data.name}
      action="Delete cluster"
      mutation={remove}
      onClose={onClose}
      onDone={() => void navigate({ to: '/clusters' })}
    >
      <p>Its nodes are forgotten and their agents refused. The machines themselves are left as they are.</p>
    </Confirm>
  )
}

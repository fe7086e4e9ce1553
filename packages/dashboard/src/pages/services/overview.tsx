import type { Service, Task } from '@freehold/contracts'
import { Link } from '@tanstack/react-router'
import { useOne } from '../../app/queries.ts'
import { Drift } from '../../components/drift.tsx'
import { Facts, Quiet, Section } from '../../components/page.tsx'
import { State } from '../../components/state.tsx'
import { defineColumns, Table } from '../../components/table.tsx'
import { Ago } from '../../components/time.tsx'
import { ClusterName } from './cluster-name.tsx'
import { HowToPush } from './how-to-push.tsx'
import { ReachLinks } from './reach-links.tsx'
import { RolloutCard } from './rollout.tsx'

export function ServiceOverview({ service }: { service: Service }) {
  const { data, status } = service
  const { data: image } = useOne('images', data.imageId)
  const isWaiting = status.state === 'waiting-for-image'
  const takesPush = image?.data.location.internal === true
  return (
    <>
      {status.awaitingSignature !== undefined && (
        <p role="status" className="rounded-md bg-warn-soft px-3 py-2 text-sm break-words">
          {status.awaitingSignature.message}
        </p>
      )}
      {takesPush && isWaiting && <HowToPush service={service} />}
      {status.rolloutId !== null && <RolloutCard rolloutId={status.rolloutId} service={service} />}
      <Section title="Now">
        <Facts
          facts={[
            [
              'Healthy / running / wanted',
              `${status.replicas.healthy} / ${status.replicas.running} / ${status.replicas.wanted}`,
            ],
            ['Reachable at', <ReachLinks key="reach" service={service} />],
            ['Serving revision', status.currentRevisionNumber ?? 'none yet'],
            ['Cluster', <ClusterName key="cluster" id={data.clusterId} />],
            [
              'Image',
              data.imageId === undefined ? (
                '–'
              ) : (
                <Link
                  key="image"
                  to="/images/$id"
                  params={{ id: data.imageId }}
                  className="font-mono text-xs break-all hover:underline"
                >
                  {image?.data.name ?? '…'}
                </Link>
              ),
            ],
            [
              'Image version',
              <code key="version" className="font-mono text-xs break-all">
                {data.imageVersion}
              </code>,
            ],
            ['Deploys on push', data.deployOnPush ? 'yes' : 'no'],
            ['Admission', admissionText(data.admission)],
            ['Changed', <Ago key="changed" at={service.updatedAt} />],
            ['Description', data.description === '' ? '–' : data.description],
          ]}
        />
      </Section>
      <Tasks tasks={status.tasks} />
      <Section title="Drift" lead="What was found changed by hand, and put right." flush>
        <Drift entries={status.drift} />
      </Section>
      {takesPush && !isWaiting && <HowToPush service={service} />}
    </>
  )
}

/** What an image must show to run. */
function admissionText(rule: Service['data']['admission']): string {
  const keys = rule?.signedBy.length ?? 0
  const said = Object.entries(rule?.annotations ?? {}).map(([key, value]) => `${key}=${value}`)
  const signed = keys === 0 ? [] : [`signed by ${keys === 1 ? 'one key' : `one of ${keys} keys`}`]
  const parts = [...signed, ...said, ...(rule?.requireDigest === true ? ['a digest'] : [])]
  return parts.length === 0 ? 'any image' : parts.join(', ')
}

const taskColumns = defineColumns<Task>([
  {
    id: 'state',
    header: 'State',
    value: ({ state }) => state,
    cell: (task) => <State state={task.state} title={task.message} />,
  },
  {
    id: 'health',
    header: 'Health',
    value: ({ health }) => health,
    cell: ({ health, healthMessage }) => <State state={health} title={healthMessage} />,
  },
  { id: 'node', header: 'Node', value: ({ nodeName }) => nodeName ?? '', cell: ({ nodeName }) => nodeName ?? '–' },
  {
    id: 'message',
    header: 'What the engine says',
    from: 'md',
    cell: (task) => (
      <span className="text-muted">
        {[task.message, task.exitCode === null ? '' : `exit code ${task.exitCode}`, task.healthMessage]
          .filter((part) => part !== '')
          .join(' · ') || '–'}
      </span>
    ),
  },
  {
    id: 'task',
    header: 'Task',
    from: 'lg',
    cell: ({ taskId }) => <code className="font-mono text-xs text-muted">{taskId.slice(0, 12)}</code>,
  },
  {
    id: 'since',
    header: 'Since',
    align: 'right',
    from: 'sm',
    value: ({ since }) => since,
    cell: ({ since }) => (
      <span className="text-muted">
        <Ago at={since} />
      </span>
    ),
  },
])
const taskId = (task: Task) => task.taskId

function Tasks({ tasks }: { tasks: Task[] }) {
  return (
    <Section title="Tasks" flush>
      {tasks.length === 0 ? (
        <Quiet>No container runs or has failed lately.</Quiet>
      ) : (
        <Table label="Tasks" rows={tasks} rowId={taskId} columns={taskColumns} />
      )}
    </Section>
  )
}

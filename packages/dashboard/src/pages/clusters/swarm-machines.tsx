import type { Cluster } from '@freehold/contracts'
import { Section } from '../../components/page.tsx'
import { Tag } from '../../components/state.tsx'
import { defineColumns, Table } from '../../components/table.tsx'

type Machine = Cluster['status']['swarmNodes'][number]

const columns = defineColumns<Machine>([
  {
    id: 'hostname',
    header: 'Host',
    value: ({ hostname }) => hostname,
    cell: ({ hostname, leader }) => (
      <span className="flex items-center gap-2">
        {hostname}
        {leader && <Tag tone="moving">leader</Tag>}
      </span>
    ),
  },
  { id: 'role', header: 'Role', value: ({ role }) => role, cell: ({ role }) => role },
  { id: 'state', header: 'State', value: ({ state }) => state, cell: ({ state }) => state },
  {
    id: 'availability',
    header: 'Availability',
    from: 'sm',
    value: ({ availability }) => availability,
    cell: ({ availability }) => availability,
  },
  {
    id: 'id',
    header: 'Swarm node id',
    from: 'md',
    cell: ({ swarmNodeId }) => <code className="font-mono text-xs text-muted">{swarmNodeId}</code>,
  },
])
const rowId = (machine: Machine) => machine.swarmNodeId

/** The Swarm as Docker itself sees it: machines without an agent are here too. */
export function SwarmMachines({ machines }: { machines: Machine[] }) {
  if (machines.length === 0) return null
  return (
    <Section title="Machines of the Swarm" lead="As Docker sees them, with an agent or without." flush>
      <Table label="Machines of the Swarm" rows={machines} rowId={rowId} columns={columns} />
    </Section>
  )
}

import type { Node } from '@freehold/contracts'
import { useMutation } from '@tanstack/react-query'
import { type ReactNode, useMemo, useState } from 'react'
import { useClient } from '../../app/client.tsx'
import { useMay } from '../../app/session.ts'
import { Confirm } from '../../components/confirm.tsx'
import { memory, plural } from '../../components/format.ts'
import { ActionsMenu, MenuItem } from '../../components/menu.tsx'
import { Empty } from '../../components/page.tsx'
import { State, Tag } from '../../components/state.tsx'
import { defineColumns, Table } from '../../components/table.tsx'
import { Ago } from '../../components/time.tsx'

const rowId = (node: Node) => node.id
type Chosen = { node: Node; what: 'revoke' | 'delete' }

export function Nodes({ nodes, add }: { nodes: Node[]; add: ReactNode }) {
  const mayWrite = useMay()('nodes:write')
  const [chosen, setChosen] = useState<Chosen | null>(null)
  const columns = useMemo(() => nodeColumns(mayWrite ? setChosen : null), [mayWrite])
  if (nodes.length === 0) {
    return (
      <Empty title="No nodes yet" action={add}>
        Add one, and run the command it shows on a machine with Docker. The machine dials out; no port needs opening.
      </Empty>
    )
  }
  return (
    <>
      <Table label="Nodes" rows={nodes} rowId={rowId} columns={columns} />
      {chosen !== null && <NodeDialog {...chosen} onClose={() => setChosen(null)} />}
    </>
  )
}

function nodeColumns(onChoose: ((chosen: Chosen) => void) | null) {
  return defineColumns<Node>([
    {
      id: 'name',
      header: 'Name',
      value: ({ data }) => data.name,
      cell: ({ data, status }) => (
        <>
          <span className="flex flex-wrap items-center gap-x-2">
            <span className="font-medium break-all">{data.name}</span>
            {status.leader && <Tag tone="moving">leader</Tag>}
          </span>
          {data.revoked && (
            <p className="text-xs text-muted">
              To get it back: delete it here, then enrol the machine again with a new JUMPCODE.
            </p>
          )}
        </>
      ),
    },
    {
      id: 'state',
      header: 'State',
      value: ({ status }) => status.state,
      cell: ({ status }) => <State state={status.state} title={status.message} />,
    },
    {
      id: 'role',
      header: 'Role',
      from: 'sm',
      value: ({ status }) => status.role ?? '',
      cell: ({ status }) => status.role ?? '–',
    },
    {
      id: 'address',
      header: 'Address',
      from: 'md',
      cell: ({ status }) => status.address ?? '–',
    },
    {
      id: 'machine',
      header: 'Machine',
      from: 'lg',
      cell: ({ status }) => <span className="text-muted">{machineOf(status)}</span>,
    },
    {
      id: 'agent',
      header: 'Agent',
      from: 'md',
      value: ({ status }) => status.agentVersion ?? '',
      cell: ({ status }) => (
        <span className="flex items-center gap-2">
          {status.agentVersion ?? '–'}
          {Math.abs(status.clockSkewMs ?? 0) > 30_000 && <Tag tone="warn">clock is off</Tag>}
        </span>
      ),
    },
    {
      id: 'connected',
      header: 'Connected',
      from: 'sm',
      align: 'right',
      value: ({ status }) => status.connectedAt ?? '',
      cell: ({ status }) => (
        <span className="text-muted">{status.connectedAt === null ? 'never' : <Ago at={status.connectedAt} />}</span>
      ),
    },
    {
      id: 'more',
      header: 'Actions',
      align: 'right',
      cell: (node) =>
        onChoose !== null && (
          <ActionsMenu label={`Actions for ${node.data.name}`}>
            <MenuItem disabled={node.data.revoked} onSelect={() => onChoose({ node, what: 'revoke' })}>
              Revoke agent
            </MenuItem>
            <MenuItem danger onSelect={() => onChoose({ node, what: 'delete' })}>
              Delete node
            </MenuItem>
          </ActionsMenu>
        ),
    },
  ])
}

function machineOf(status: Node['status']): string {
  const parts = [
    status.operatingSystem,
    status.architecture,
    status.cpuCores === null ? null : plural(status.cpuCores, 'core'),
    status.memoryBytes === null ? null : memory(status.memoryBytes),
  ]
  return parts.filter((part) => part !== null).join(', ') || '–'
}

function NodeDialog({ node, what, onClose }: Chosen & { onClose: () => void }) {
  const client = useClient()
  const params = { id: node.id }
  const mutation = useMutation({
    mutationFn: async (_: undefined): Promise<void> => {
      if (what === 'revoke') await client.nodes.revoke({ params })
      else await client.nodes.delete({ params })
    },
  })
  const isRevoke = what === 'revoke'
  return (
    <Confirm
      title={isRevoke ? `Revoke the agent of ${node.data.name}?` : `Delete ${node.data.name}?`}
      action={isRevoke ? 'Revoke agent' : 'Delete node'}
      mutation={mutation}
      onClose={onClose}
    >
      {isRevoke ? (
        <p>
          Its link is closed at once and stays refused. To let the machine back in, delete it here and enrol it again
          with a new JUMPCODE.
        </p>
      ) : (
        <p>It is forgotten here and its agent refused. The machine itself and its place in the Swarm stay.</p>
      )}
    </Confirm>
  )
}

import { useMutation } from '@tanstack/react-query'
import { useMemo, useState } from 'react'
import { useClient } from '../../app/client.tsx'
import { type ItemOf, useList } from '../../app/queries.ts'
import { Button } from '../../components/button.tsx'
import { Confirm } from '../../components/confirm.tsx'
import { Section } from '../../components/page.tsx'
import { defineColumns, Table } from '../../components/table.tsx'
import { Ago, useNowMs } from '../../components/time.tsx'

type Enrolment = ItemOf<'enrolments'>
const rowId = (enrolment: Enrolment) => enrolment.id

/** JUMPCODES that can still be used; there is nothing to see without one. */
export function Enrolments({ clusterId }: { clusterId: string }) {
  const enrolments = useList('enrolments', { clusterId })
  const nowMs = useNowMs()
  const [chosen, setChosen] = useState<Enrolment | null>(null)
  const columns = useMemo(() => enrolmentColumns(setChosen), [])
  const open = useMemo(
    () => enrolments.items.filter(({ data }) => data.usesLeft > 0 && Date.parse(data.expiresAt) > nowMs),
    [enrolments.items, nowMs],
  )
  if (open.length === 0) return null
  return (
    <Section title="Open JUMPCODES" lead="Codes with which a machine may still join." flush>
      <Table label="Open JUMPCODES" rows={open} rowId={rowId} columns={columns} />
      {chosen !== null && <WithdrawDialog enrolment={chosen} onClose={() => setChosen(null)} />}
    </Section>
  )
}

function enrolmentColumns(onChoose: (enrolment: Enrolment) => void) {
  return defineColumns<Enrolment>([
    {
      id: 'prefix',
      header: 'Begins with',
      cell: ({ data }) => <code className="font-mono text-xs">{data.prefix}…</code>,
    },
    { id: 'uses', header: 'Uses left', align: 'right', from: 'sm', cell: ({ data }) => data.usesLeft },
    { id: 'expires', header: 'Expires', align: 'right', cell: ({ data }) => <Ago at={data.expiresAt} /> },
    {
      id: 'withdraw',
      header: 'Action',
      align: 'right',
      cell: (enrolment) => (
        <Button aria-label={`Withdraw ${enrolment.data.prefix}`} onClick={() => onChoose(enrolment)}>
          Withdraw
        </Button>
      ),
    },
  ])
}

function WithdrawDialog({ enrolment, onClose }: { enrolment: Enrolment; onClose: () => void }) {
  const client = useClient()
  const remove = useMutation({
    mutationFn: (_: undefined) => client.enrolments.delete({ params: { id: enrolment.id } }),
  })
  return (
    <Confirm title="Withdraw this JUMPCODE?" action="Withdraw" mutation={remove} onClose={onClose}>
      <p>No further machine can join with it. Those that did stay.</p>
    </Confirm>
  )
}

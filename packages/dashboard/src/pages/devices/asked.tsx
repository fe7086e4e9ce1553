import type { Device } from '@freehold/contracts'
import { Section } from '../../components/page.tsx'
import { State } from '../../components/state.tsx'
import { Ago, useNowMs } from '../../components/time.tsx'
import { useReport } from './report.ts'

const kindWords = { update: 'Look for update', reboot: 'Reboot' } as const

/** What an operator asked of the device lately, and what came of it. */
export function AskedActions({ device: { id, data } }: { device: Device }) {
  const report = useReport(id)
  const nowMs = useNowMs()
  if (data.actions.length === 0) return null
  const outcomes = report.data?.report?.actions ?? []
  return (
    <Section title="Asked of it" flush>
      <ul
        aria-live="polite"
        className="divide-y divide-line overflow-hidden rounded-lg border border-line bg-surface text-sm"
      >
        {data.actions.toReversed().map((action) => {
          const outcome = outcomes.find((each) => each?.id === action.id)
          const isOver = Date.parse(action.expiresAt) <= nowMs
          return (
            <li key={action.id} className="flex flex-wrap items-center gap-x-3 gap-y-1 px-4 py-2">
              <span className="font-medium">
                {kindWords[action.kind]}
                {action.force && <span className="font-normal text-muted">, forced</span>}
              </span>
              <State state={outcome?.outcome ?? (isOver ? 'expired' : 'waiting')} />
              <span className="min-w-0 flex-1 basis-48 text-muted [overflow-wrap:anywhere]">
                {outcome?.message ??
                  (isOver ? 'It did not answer in time.' : 'It hears of it with its next heartbeat.')}
              </span>
              {outcome === undefined && !isOver && (
                <span className="text-xs text-muted">
                  ends <Ago at={action.expiresAt} />
                </span>
              )}
            </li>
          )
        })}
      </ul>
    </Section>
  )
}

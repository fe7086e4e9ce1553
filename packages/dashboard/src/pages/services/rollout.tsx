import { finalPhases, type Rollout, type Service } from '@freehold/contracts'
import { useMutation } from '@tanstack/react-query'
import { useState } from 'react'
import { useClient } from '../../app/client.tsx'
import { useOne } from '../../app/queries.ts'
import { useMay } from '../../app/session.ts'
import { Button } from '../../components/button.tsx'
import { Confirm } from '../../components/confirm.tsx'
import { BadIcon, CheckIcon, MovingIcon } from '../../components/icons.tsx'
import { Section, Skeleton } from '../../components/page.tsx'
import { Scroller } from '../../components/scroller.tsx'
import { State } from '../../components/state.tsx'
import { Ago, Took } from '../../components/time.tsx'
import { type Step, stepsOf } from './rollout-steps.ts'

const triggers: Record<Rollout['data']['trigger'], string> = {
  create: 'the service was created',
  update: 'the service was changed',
  push: 'an image was pushed',
  manual: 'someone deployed it',
  rollback: 'someone went back to it',
}

/** The newest rollout of a service, live. */
export function RolloutCard({ rolloutId, service }: { rolloutId: string; service: Service }) {
  const { data: rollout } = useOne('rollouts', rolloutId)
  const may = useMay()
  const [isAborting, setAborting] = useState(false)
  if (rollout === undefined) return <Skeleton rows={4} />
  if (rollout === null) return null
  const { data, status } = rollout
  const isActive = !finalPhases.includes(status.phase)
  return (
    <Section
      title={isActive ? `Rolling out revision ${data.revisionNumber}` : `Last rollout: revision ${data.revisionNumber}`}
      actions={
        isActive &&
        may('services:deploy') && (
          <Button look="danger" disabled={data.abortRequested} onClick={() => setAborting(true)}>
            {data.abortRequested ? 'Going back…' : 'Abort'}
          </Button>
        )
      }
    >
      <Steps steps={stepsOf(rollout)} />
      <div className="flex flex-wrap items-center gap-x-3 gap-y-1">
        <State state={status.phase} />
        <p aria-live="polite" className="min-w-0 flex-1 basis-60">
          {!isActive && status.failure !== null ? outcomeOf(status) : status.message}
        </p>
        {isActive && (
          <span className="text-sm text-muted">
            {status.healthy} of {status.wanted} healthy
          </span>
        )}
      </div>
      {status.failure !== null && <Failure status={status} />}
      <p className="text-xs text-muted">
        Began <Ago at={status.startedAt} /> because {triggers[data.trigger]}; {isActive ? 'under way for' : 'took'}{' '}
        <Took from={status.startedAt} until={status.finishedAt} />.{' '}
        {data.strategy === 'beside' ? 'New beside old.' : 'Old stops first: ports or volumes forbid two at once.'}
      </p>
      <History history={status.history} />
      {isAborting && <AbortDialog rollout={rollout} name={service.data.name} onClose={() => setAborting(false)} />}
    </Section>
  )
}

const stepLooks: Record<Step['state'], { className: string; word: string }> = {
  done: { className: 'bg-good-soft text-good', word: 'done' },
  now: { className: 'bg-accent-soft text-accent', word: 'now' },
  failed: { className: 'bg-bad-soft text-bad', word: 'failed' },
  next: { className: 'bg-sunken text-muted', word: 'to come' },
}

function Steps({ steps }: { steps: Step[] }) {
  return (
    <ol aria-label="Steps of the rollout" className="grid gap-2 sm:auto-cols-fr sm:grid-flow-col">
      {steps.map(({ label, state }) => (
        <li
          key={label}
          aria-current={state === 'now' ? 'step' : undefined}
          className={`flex h-8 items-center gap-2 rounded-md px-3 text-sm font-medium ${stepLooks[state].className}`}
        >
          {state === 'done' && <CheckIcon width="14" height="14" />}
          {state === 'now' && <MovingIcon width="14" height="14" className="animate-spin" />}
          {state === 'failed' && <BadIcon width="14" height="14" />}
          {label}
          <span className="sr-only">: {stepLooks[state].word}</span>
        </li>
      ))}
    </ol>
  )
}

/** What serves now; the reason stands below it. */
function outcomeOf({ previousServes, message }: Rollout['status']): string {
  if (previousServes === null) return message
  return previousServes ? 'The revision before it serves.' : 'The revision before it does not serve either.'
}

function Failure({ status }: { status: Rollout['status'] }) {
  const { failure } = status
  if (failure === null) return null
  return (
    <div className="flex flex-col gap-2 rounded-md border border-bad/40 bg-bad-soft p-3 text-sm">
      <p className="flex gap-2 font-medium">
        <BadIcon className="mt-0.5 text-bad" />
        <span className="min-w-0">{failure.reason}</span>
      </p>
      {failure.logTail.length > 0 && (
        <Scroller label="Last log lines" className="max-h-64 overflow-auto rounded bg-surface p-2.5">
          <pre className="font-mono text-xs leading-relaxed">{failure.logTail.join('\n')}</pre>
        </Scroller>
      )}
    </div>
  )
}

function History({ history }: { history: Rollout['status']['history'] }) {
  if (history.length === 0) return null
  return (
    <details className="text-sm">
      <summary className="w-fit rounded text-muted hover:text-ink">Every step ({history.length})</summary>
      <ol className="mt-2 flex flex-col gap-1 border-l border-line pl-3">
        {history.map(({ at, message }, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: a history only grows at its end.
          <li key={index} className="flex flex-wrap gap-x-3">
            <time dateTime={at} className="text-muted">
              {new Date(at).toLocaleTimeString()}
            </time>
            <span className="min-w-0 flex-1">{message}</span>
          </li>
        ))}
      </ol>
    </details>
  )
}

function AbortDialog({ rollout, name, onClose }: { rollout: Rollout; name: string; onClose: () => void }) {
  const client = useClient()
  const abort = useMutation({ mutationFn: (_: undefined) => client.rollouts.abort({ params: { id: rollout.id } }) })
  return (
    <Confirm title={`Abort the rollout of ${name}?`} action="Abort and go back" mutation={abort} onClose={onClose}>
      <p>
        The new revision is removed
        {rollout.data.previousRevisionId === null
          ? '. There is none before it to go back to.'
          : ' and the one before it serves on.'}
      </p>
    </Confirm>
  )
}

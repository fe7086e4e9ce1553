import { isOpenRollout, type ReleaseRollout } from '@freehold/contracts'
import { useMutation } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { useClient } from '../../app/client.tsx'
import { Button } from '../../components/button.tsx'
import { Confirm } from '../../components/confirm.tsx'
import { plural } from '../../components/format.ts'
import { failuresOf } from './member-states.ts'

type Act = 'pause' | 'resume' | 'approve' | 'retry' | 'abort'

/** What an operator may do now, each with its question. */
export function RolloutActions({ rollout }: { rollout: ReleaseRollout }) {
  const { data, status } = rollout
  const [open, setOpen] = useState<Act | null>(null)
  const close = () => setOpen(null)
  const isOpen = isOpenRollout(status) && data.aborted === null
  const mayRetry = data.aborted === null && (status.state === 'stopped' || failuresOf(status.counts) > 0)
  return (
    <>
      {isOpen && status.state === 'waiting-for-approval' && (
        <Button look="primary" onClick={() => setOpen('approve')}>
          Approve
        </Button>
      )}
      {isOpen && data.paused && (
        <Button look="primary" onClick={() => setOpen('resume')}>
          Resume
        </Button>
      )}
      {isOpen && !data.paused && status.state !== 'stopped' && <Button onClick={() => setOpen('pause')}>Pause</Button>}
      {mayRetry && status.state !== 'aborted' && status.state !== 'superseded' && (
        <Button look={status.state === 'stopped' ? 'primary' : 'secondary'} onClick={() => setOpen('retry')}>
          Retry
        </Button>
      )}
      {isOpen && (
        <Button look="danger" onClick={() => setOpen('abort')}>
          Abort
        </Button>
      )}
      {open === 'abort' && <AbortDialog rollout={rollout} onClose={close} />}
      {open !== null && open !== 'abort' && <ActDialog rollout={rollout} act={open} onClose={close} />}
    </>
  )
}

const titles: Record<Exclude<Act, 'abort'>, { title: string; action: string }> = {
  pause: { title: 'Pause this rollout?', action: 'Pause' },
  resume: { title: 'Go on with this rollout?', action: 'Resume' },
  approve: { title: 'Open the next phase?', action: 'Approve' },
  retry: { title: 'Let those that failed try again?', action: 'Retry' },
}

function ActDialog(props: { rollout: ReleaseRollout; act: Exclude<Act, 'abort'>; onClose: () => void }) {
  const { rollout, act, onClose } = props
  const client = useClient()
  const mutation = useMutation({
    mutationFn: async (_: undefined): Promise<unknown> => client.releaseRollouts[act]({ params: { id: rollout.id } }),
  })
  return (
    <Confirm
      title={titles[act].title}
      action={titles[act].action}
      look={act === 'pause' ? 'destructive' : 'primary'}
      mutation={mutation}
      onClose={onClose}
    >
      <p>{textOf(rollout, act)}</p>
    </Confirm>
  )
}

function textOf({ status }: ReleaseRollout, act: Exclude<Act, 'abort'>): string {
  const opened = status.phases.filter(({ openedAt }) => openedAt !== null).length
  const next = status.phases[opened]
  return {
    pause: 'No further phase opens, and devices that have not begun begin nothing. Those that have begun finish.',
    resume: 'Devices of the open phase begin again, and phases open by their own rules.',
    approve: `Phase ${opened + 1} has ${plural(next?.members ?? 0, 'device')}; they begin at once, or in their time window.`,
    retry: `${plural(failuresOf(status.counts), 'device')} failed. They try once more, and the rollout goes on by its own rules.`,
  }[act]
}

function AbortDialog({ rollout, onClose }: { rollout: ReleaseRollout; onClose: () => void }) {
  const client = useClient()
  const [devices, setDevices] = useState<'keep' | 'revert'>('keep')
  const abort = useMutation({
    mutationFn: async (_: undefined): Promise<unknown> =>
      client.releaseRollouts.abort({ params: { id: rollout.id }, body: { devices } }),
  })
  const option = (value: 'keep' | 'revert', label: string, hint: ReactNode) => (
    <label className="flex items-start gap-2 text-sm text-ink">
      <input
        type="radio"
        name="devices"
        className="mt-1 accent-accent"
        checked={devices === value}
        onChange={() => setDevices(value)}
      />
      <span>
        <span className="font-medium">{label}</span>
        <span className="block text-xs text-muted">{hint}</span>
      </span>
    </label>
  )
  return (
    <Confirm title="Abort this rollout?" action="Abort rollout" mutation={abort} onClose={onClose}>
      <p>It ends, and no further device begins. This cannot be taken back.</p>
      <fieldset className="flex flex-col gap-2">
        <legend className="mb-1 text-sm font-medium text-ink">Devices that have the release</legend>
        {option('keep', 'keep it', 'The release is good where it runs; the rest keep the old one.')}
        {option(
          'revert',
          'go back',
          'Every member returns to the release it had, at once and outside of time windows.',
        )}
      </fieldset>
    </Confirm>
  )
}

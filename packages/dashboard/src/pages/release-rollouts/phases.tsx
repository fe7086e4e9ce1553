import type { ReleasePhase, ReleaseRollout } from '@freehold/contracts'
import { plural } from '../../components/format.ts'
import { BadIcon, CheckIcon, IdleIcon, MovingIcon } from '../../components/icons.tsx'
import { Section } from '../../components/page.tsx'
import { Tag } from '../../components/state.tsx'
import type { Tone } from '../../components/tones.ts'
import { MemberBar, MemberLegend } from './member-bar.tsx'
import { baseOf, failuresOf, leastOf, mostOf } from './member-states.ts'

type PhaseStatus = ReleaseRollout['status']['phases'][number]
/** What a rollout without phases has: everyone in one. */
const single: ReleasePhase = { successPercent: 90, errorPercent: 5, soakMinutes: 0, approval: false }

/** The live picture: one bar a phase, its counts in words, and what its thresholds come to. */
export function Phases({ rollout: { data, status } }: { rollout: ReleaseRollout }) {
  const phases = data.phases.length === 0 ? [single] : data.phases
  return (
    <Section title="Phases" flush>
      <ol aria-label="Phases of the rollout" className="flex flex-col gap-3">
        {status.phases.map((standing, index) => (
          <Phase
            // biome-ignore lint/suspicious/noArrayIndexKey: the phases of a rollout never change.
            key={index}
            index={index}
            phase={phases[index] ?? single}
            standing={standing}
            rollout={{ data, status }}
            isLast={index === status.phases.length - 1}
          />
        ))}
      </ol>
    </Section>
  )
}

function Phase(props: {
  index: number
  phase: ReleasePhase
  standing: PhaseStatus
  rollout: Pick<ReleaseRollout, 'data' | 'status'>
  isLast: boolean
}) {
  const { index, phase, standing, rollout, isLast } = props
  const { word, tone } = stateOfPhase(rollout, index)
  const base = baseOf(standing.counts)
  const share = phase.percent === undefined ? (phase.count === undefined ? 'the rest' : '') : `${phase.percent} %`
  return (
    <li
      aria-current={tone === 'moving' ? 'step' : undefined}
      className={`flex flex-col gap-2.5 rounded-lg border bg-surface p-4 ${tone === 'moving' ? 'border-accent' : 'border-line'}`}
    >
      <div className="flex flex-wrap items-center justify-between gap-x-3 gap-y-1">
        <h3 className="text-sm font-semibold">
          Phase {index + 1}
          <span className="font-normal text-muted">
            {' '}
            · {plural(standing.members, 'device')}
            {share !== '' && `, ${share}`}
          </span>
        </h3>
        <span className="flex items-center gap-1.5">
          <PhaseIcon tone={tone} />
          <Tag tone={tone}>{word}</Tag>
        </span>
      </div>
      <MemberBar
        counts={standing.counts}
        {...(base > 0 && phase.successPercent > 0 && phase.successPercent < 100
          ? { mark: leastOf(phase.successPercent, base) / standing.members }
          : {})}
      />
      <MemberLegend counts={standing.counts} />
      <p className="text-xs text-muted">{thresholdsOf({ phase, standing, isLast })}</p>
    </li>
  )
}

function PhaseIcon({ tone }: { tone: Tone }) {
  if (tone === 'good') return <CheckIcon width="14" height="14" className="text-good" />
  if (tone === 'moving') return <MovingIcon width="14" height="14" className="animate-spin text-accent" />
  if (tone === 'bad') return <BadIcon width="14" height="14" className="text-bad" />
  return <IdleIcon width="14" height="14" className="text-muted" />
}

/** `9 of 10 must succeed (90 %); more than 0 failures (5 %) stop the rollout.` */
function thresholdsOf(input: { phase: ReleasePhase; standing: PhaseStatus; isLast: boolean }): string {
  const { phase, standing, isLast } = input
  const base = baseOf(standing.counts)
  const most = mostOf(phase.errorPercent, base)
  const what = isLast ? 'the rollout is done' : 'the next phase opens'
  const soak = phase.soakMinutes === 0 ? '' : `, and after ${phase.soakMinutes} min of watching`
  return [
    `At ${leastOf(phase.successPercent, base)} of ${base} succeeded (${phase.successPercent} %)${soak} ${what}.`,
    `More than ${most} failed (${phase.errorPercent} %) stop the rollout; ${failuresOf(standing.counts)} did.`,
    ...(phase.approval ? ['It opens only with approval.'] : []),
  ].join(' ')
}

function stateOfPhase(
  { data, status }: Pick<ReleaseRollout, 'data' | 'status'>,
  index: number,
): { word: string; tone: Tone } {
  const standing = status.phases[index]
  if (standing === undefined || standing.openedAt === null) {
    const opened = status.phases.filter(({ openedAt }) => openedAt !== null).length
    if (status.state === 'waiting-for-approval' && index === opened) return { word: 'waits for approval', tone: 'warn' }
    return { word: status.finishedAt === null ? 'to come' : 'never opened', tone: 'idle' }
  }
  const phase = data.phases[index] ?? single
  if (failuresOf(standing.counts) > mostOf(phase.errorPercent, baseOf(standing.counts))) {
    return { word: 'too many failed', tone: 'bad' }
  }
  if (index < status.phase || status.state === 'succeeded') return { word: 'done', tone: 'good' }
  if (status.finishedAt !== null) return { word: 'ended', tone: 'idle' }
  if (status.state === 'soaking') return { word: 'watched', tone: 'moving' }
  if (status.state === 'waiting-for-approval') return { word: 'done', tone: 'good' }
  if (status.state === 'paused' || status.state === 'stopped') return { word: status.state, tone: 'warn' }
  return { word: 'open', tone: 'moving' }
}

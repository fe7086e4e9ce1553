import type { Output } from '@freehold/client'
import type { Rollout, Routes } from '@freehold/contracts'
import { Link } from '@tanstack/react-router'
import { useList, useOne, useStatus, wholePage } from '../../app/queries.ts'
import { useMay } from '../../app/session.ts'
import { ButtonLink } from '../../components/button.tsx'
import { ErrorNote } from '../../components/error-note.tsx'
import { plural } from '../../components/format.ts'
import { BadIcon, ChevronIcon, GoodIcon, WarnIcon } from '../../components/icons.tsx'
import { Page, Section, Skeleton } from '../../components/page.tsx'
import { State } from '../../components/state.tsx'
import { Ago } from '../../components/time.tsx'
import { nextSteps } from './next-steps.ts'

type Status = Output<Routes['status']['get']>

export function OverviewPage() {
  const status = useStatus()
  return (
    <Page title="Overview" mark={status.data !== undefined && <Glance problems={status.data.problems} />}>
      <ErrorNote error={status.error} onRetry={() => void status.refetch()} />
      {status.data === undefined ? <Skeleton rows={6} /> : <Overview status={status.data} />}
    </Page>
  )
}

function Overview({ status }: { status: Status }) {
  return (
    <>
      <Counts counts={status.counts} />
      {status.counts.devices > 0 && <DeviceCounts counts={status.counts} />}
      <Problems
        problems={status.problems}
        isEmpty={status.counts.services + status.counts.clusters + status.counts.devices === 0}
      />
      <NextSteps status={status} />
      <UnderWay />
      <p className="text-xs text-muted">
        Freehold {status.version} on {status.store === 'sqlite' ? 'SQLite' : 'PostgreSQL'}, started{' '}
        <Ago at={status.startedAt} />.
      </p>
    </>
  )
}

/** How everything stands, in one mark beside the title. */
function Glance({ problems }: { problems: Status['problems'] }) {
  const errors = problems.filter(({ severity }) => severity === 'error').length
  if (errors > 0) return <State state="error" label={plural(errors, 'error')} />
  if (problems.length > 0) return <State state="warning" label={plural(problems.length, 'warning')} />
  return <State state="running" label="All well" />
}

function Counts({ counts }: { counts: Status['counts'] }) {
  return (
    <Tiles label="How much there is">
      <Tile label="Services" value={counts.services} to="/services" />
      <Tile label="Clusters" value={counts.clusters} to="/clusters" />
      <Tile label="Nodes" value={counts.nodes} to="/clusters" />
      <Tile label="Images" value={counts.images} to="/images" />
    </Tiles>
  )
}

function DeviceCounts({ counts }: { counts: Status['counts'] }) {
  const { devices, offlineDevices, failedUpdateDevices, openReleaseRollouts, stoppedReleaseRollouts } = counts
  return (
    <Tiles label="Devices and their rollouts">
      <Tile label="Devices" value={devices} to="/devices" />
      <Tile label="Offline" value={offlineDevices} to="/devices" search={{ state: 'offline' }} />
      <Tile
        label="Failed an update"
        value={failedUpdateDevices}
        to="/devices"
        search={{ update: 'failed' }}
        isBad={failedUpdateDevices > 0}
      />
      <Tile
        label="Open rollouts to devices"
        value={openReleaseRollouts}
        to="/release-rollouts"
        isBad={stoppedReleaseRollouts > 0}
        note={stoppedReleaseRollouts > 0 ? `${stoppedReleaseRollouts} stopped` : undefined}
      />
    </Tiles>
  )
}

function Tiles({ label, children }: { label: string; children: React.ReactNode }) {
  return (
    <ul
      aria-label={label}
      className="grid grid-cols-2 gap-px overflow-hidden rounded-lg border border-line bg-line sm:grid-cols-4"
    >
      {children}
    </ul>
  )
}

function Tile(props: {
  label: string
  value: number
  to: '/services' | '/clusters' | '/images' | '/devices' | '/release-rollouts'
  search?: { state?: string; update?: string }
  isBad?: boolean
  note?: string | undefined
}) {
  const { label, value, to, search, isBad = false, note } = props
  return (
    <li className="bg-surface">
      <Link
        to={to}
        search={search ?? {}}
        className="flex h-full flex-col px-4 py-3 hover:bg-sunken focus-visible:-outline-offset-2"
      >
        <span className="text-xs text-muted">{label}</span>{' '}
        <span className="flex flex-wrap items-baseline gap-x-2">
          <span className={`text-xl font-semibold ${isBad && note === undefined ? 'text-bad' : ''}`}>
            {value.toLocaleString('en')}
          </span>
          {note !== undefined && (
            <span className={`text-xs font-medium ${isBad ? 'text-bad' : 'text-muted'}`}>{note}</span>
          )}
        </span>
      </Link>
    </li>
  )
}

function Problems({ problems, isEmpty }: { problems: Status['problems']; isEmpty: boolean }) {
  if (problems.length === 0) {
    if (isEmpty) return null
    return (
      <Section title="Problems" flush>
        <p className="flex items-center gap-2 rounded-lg border border-line bg-surface px-4 py-3">
          <GoodIcon className="text-good" />
          Nothing needs you.
        </p>
      </Section>
    )
  }
  return (
    <Section title={`Problems (${problems.length === 50 ? 'the 50 worst' : problems.length})`} flush>
      <ul aria-live="polite" className="divide-y divide-line overflow-hidden rounded-lg border border-line bg-surface">
        {problems.map((problem) => (
          <li key={`${problem.kind} ${problem.id ?? problem.name} ${problem.message}`}>
            <Problem problem={problem} />
          </li>
        ))}
      </ul>
    </Section>
  )
}

function Problem({ problem }: { problem: Status['problems'][number] }) {
  const isError = problem.severity === 'error'
  const Icon = isError ? BadIcon : WarnIcon
  const text = (
    <>
      <Icon className={`mt-0.5 ${isError ? 'text-bad' : 'text-warn'}`} />
      <span className="sr-only">{isError ? 'Error' : 'Warning'}: </span>
      <span className="min-w-0 flex-1">
        <span className="font-medium wrap-anywhere">{nameOf(problem)}</span>{' '}
        <span className="text-xs text-muted">{kindWords[problem.kind] ?? problem.kind}</span>
        <span className="block text-sm text-muted">{messageOf(problem)}</span>
      </span>
    </>
  )
  const className = 'flex items-start gap-2.5 px-4 py-2.5'
  const linkClassName = `${className} hover:bg-sunken focus-visible:-outline-offset-2`
  const to = pages[problem.kind]
  if (problem.id !== null && problem.kind === 'node') return <NodeProblem id={problem.id}>{text}</NodeProblem>
  if (problem.id !== null && to !== undefined) {
    return (
      <Link to={to} params={{ id: problem.id }} className={linkClassName}>
        {text}
        <ChevronIcon className="mt-1 text-muted" />
      </Link>
    )
  }
  if (problem.kind === 'device') {
    return (
      <Link to="/devices" search={{ attention: problem.name }} className={linkClassName}>
        {text}
        <ChevronIcon className="mt-1 text-muted" />
      </Link>
    )
  }
  return <div className={className}>{text}</div>
}

type OneProblem = Status['problems'][number]

const pages: Record<
  string,
  '/services/$id' | '/clusters/$id' | '/devices/$id' | '/release-rollouts/$id' | '/builds/$id'
> = {
  service: '/services/$id',
  cluster: '/clusters/$id',
  device: '/devices/$id',
  'release-rollout': '/release-rollouts/$id',
  build: '/builds/$id',
}
const kindWords: Record<string, string> = { 'release-rollout': 'rollout to devices' }

/** Several devices are one problem, which is named after its cause. */
function nameOf({ kind, id, name }: OneProblem): string {
  return kind === 'device' && id === null ? 'Devices' : name
}

/** The command that shows the devices stands here as a link. */
function messageOf({ kind, message }: OneProblem): string {
  return kind === 'device' ? message.replace(/ `freehold [^`]*` shows (?:it|them)\.$/, '') : message
}

/** A node is shown on the page of its cluster. */
function NodeProblem({ id, children }: { id: string; children: React.ReactNode }) {
  const { data: node } = useOne('nodes', id)
  const className = 'flex items-start gap-2.5 px-4 py-2.5'
  if (node === null || node === undefined) return <div className={className}>{children}</div>
  return (
    <Link
      to="/clusters/$id"
      params={{ id: node.data.clusterId }}
      className={`${className} hover:bg-sunken focus-visible:-outline-offset-2`}
    >
      {children}
      <ChevronIcon className="mt-1 text-muted" />
    </Link>
  )
}

function NextSteps({ status }: { status: Status }) {
  const may = useMay()
  const hasServices = status.counts.services > 0
  const waiting = useList('services', { state: 'waiting-for-image', limit: 20 }, { enabled: hasServices })
  const images = useList('images', { limit: wholePage }, { enabled: waiting.items.length > 0 })
  const isPushedHere = (imageId: string | undefined) =>
    images.items.some((image) => image.id === imageId && image.data.location.internal)
  const steps = nextSteps({
    counts: status.counts,
    mayMakeClusters: may('clusters:write'),
    mayMakeJoinTokens: may('join-tokens:write'),
    mayMakeServices: may('services:write'),
    waiting: waiting.items
      .filter(({ data }) => isPushedHere(data.imageId))
      .slice(0, 5)
      .map(({ id, data }) => ({ id, name: data.name })),
  })
  if (steps.length === 0) return null
  return (
    <Section title="What to do next" flush>
      <ol className="divide-y divide-line rounded-lg border border-line bg-surface">
        {steps.map((step) => (
          <li key={step.title} className="flex flex-wrap items-center justify-between gap-x-6 gap-y-2 px-4 py-3">
            <span className="min-w-0">
              <span className="font-medium">{step.title}</span>
              <span className="block text-sm text-muted">{step.why}</span>
            </span>
            {step.to !== null && (
              <ButtonLink {...step.to} look={step.isFirst ? 'primary' : 'secondary'}>
                {step.action}
              </ButtonLink>
            )}
          </li>
        ))}
      </ol>
    </Section>
  )
}

function UnderWay() {
  const rollouts = useList('rollouts', { active: 'yes', limit: 20 })
  if (rollouts.items.length === 0) return null
  return (
    <Section title="Rollouts under way" flush>
      <ul className="divide-y divide-line overflow-hidden rounded-lg border border-line bg-surface">
        {rollouts.items.map((rollout) => (
          <li key={rollout.id}>
            <RolloutLine rollout={rollout} />
          </li>
        ))}
      </ul>
    </Section>
  )
}

function RolloutLine({ rollout }: { rollout: Rollout }) {
  const { data: service } = useOne('services', rollout.data.serviceId)
  return (
    <Link
      to="/services/$id"
      params={{ id: rollout.data.serviceId }}
      className="flex flex-wrap items-center gap-x-3 gap-y-1 px-4 py-2.5 hover:bg-sunken focus-visible:-outline-offset-2"
    >
      <span className="font-medium">{service?.data.name ?? '…'}</span>
      <span className="text-sm text-muted">revision {rollout.data.revisionNumber}</span>
      <State state={rollout.status.phase} />
      <span className="min-w-0 flex-1 basis-72 text-sm text-muted">{rollout.status.message}</span>
    </Link>
  )
}

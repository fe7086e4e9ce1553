import type { Output } from '@freehold/client'
import type { Device, DeviceStatus, ReleaseType, Routes } from '@freehold/contracts'
import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { useEffect } from 'react'
import { useClient } from '../../app/client.tsx'
import { Button } from '../../components/button.tsx'
import { ErrorNote } from '../../components/error-note.tsx'
import { WarnIcon } from '../../components/icons.tsx'
import { Card, Section, Skeleton } from '../../components/page.tsx'
import { Scroller } from '../../components/scroller.tsx'
import { State } from '../../components/state.tsx'
import { memberWords } from '../release-rollouts/member-states.ts'
import { typeWords } from '../releases/list.tsx'
import { ReleaseLink } from '../releases/names.tsx'
import { useReport } from './report.ts'

type Shall = Output<Routes['devices']['releases']>
type Progress = NonNullable<NonNullable<DeviceStatus['releases']>['app']>

const deciders = {
  'device-pin': 'pinned to this device',
  'group-pin': 'pinned to its group',
  rollout: 'by a rollout',
  channel: 'by the channel, when it joined',
}

/** What a device shall run, who decided it, and how far it is by its own report. */
export function RunsHere({ device, onPin }: { device: Device; onPin: (() => void) | null }) {
  const { id, version } = device
  const client = useClient()
  const report = useReport(id)
  const shall = useQuery({
    queryKey: ['devices', 'one', id, 'releases'],
    queryFn: ({ signal }) => client.devices.releases({ params: { id }, signal }),
  })
  const { refetch } = shall
  // biome-ignore lint/correctness/useExhaustiveDependencies: another version of the device may mean other pins or labels.
  useEffect(() => void refetch({ cancelRefetch: false }), [version, refetch])
  const told = report.data?.report?.releases ?? null
  return (
    <Section
      title="Releases"
      lead={shall.data && <GroupLine group={shall.data.group} />}
      flush
      actions={onPin !== null && <Button onClick={onPin}>Pin releases</Button>}
    >
      <ErrorNote error={shall.error} />
      {told?.refusal && (
        <div role="alert" className="flex items-start gap-2 rounded-md bg-warn-soft px-3 py-2 text-sm">
          <WarnIcon className="mt-0.5 text-warn" />
          <p className="min-w-0 [overflow-wrap:anywhere]">
            It did not trust what it was told ({told.refusal.code ?? 'no reason given'}): {told.refusal.message}
          </p>
        </div>
      )}
      {shall.data === undefined ? (
        shall.error === null && <Skeleton rows={2} />
      ) : (
        <div className="grid items-start gap-3 lg:grid-cols-2">
          <Half type="app" shall={shall.data.app} told={told?.app ?? null} />
          <Half type="host" shall={shall.data.host} told={told?.host ?? null} />
        </div>
      )}
    </Section>
  )
}

function GroupLine({ group }: { group: Shall['group'] }) {
  if (group === null) return <>No group selects it, so that no channel decides.</>
  return (
    <>
      Belongs to the group{' '}
      <Link to="/channels" className="font-medium hover:underline">
        {group.name}
      </Link>
      .
    </>
  )
}

function Half(props: { type: ReleaseType; shall: Shall['app']; told: Progress | null }) {
  const { type, shall, told } = props
  return (
    <Card>
      <div className="flex flex-wrap items-baseline justify-between gap-x-3 gap-y-1">
        <h3 className="text-sm font-semibold">{typeWords[type]}</h3>
        <p className="text-sm text-muted">
          {shall === null ? (
            'keeps what is there'
          ) : (
            <>
              shall run{' '}
              <span className="font-medium text-ink">
                <ReleaseLink id={shall.releaseId} fallback={shall.version} />
              </span>
              , {deciders[shall.by]}
            </>
          )}
        </p>
      </div>
      {told === null || told.state === null ? (
        shall !== null && <p className="text-sm text-muted">It has not said anything of it yet.</p>
      ) : (
        <Told told={told} isOther={shall !== null && told.releaseId !== shall.releaseId} />
      )}
      {told?.running && (
        <p className="text-xs text-muted">
          Runs now: <ReleaseLink id={told.running} />
        </p>
      )}
    </Card>
  )
}

function Told({ told, isOther }: { told: Progress; isOther: boolean }) {
  const state = told.state ?? 'unknown'
  const percent = told.state === 'downloading' ? told.downloadProgress : null
  return (
    <>
      <div className="flex flex-wrap items-center gap-x-3 gap-y-1 text-sm" aria-live="polite">
        <State state={state} label={wordOf(state)} />
        <span>
          {isOther ? 'It last spoke of ' : ''}
          {told.version ?? ''}
        </span>
      </div>
      {percent !== null && (
        <div className="flex items-center gap-3">
          <progress
            aria-label="Downloaded"
            max={100}
            value={percent}
            className="h-2 w-full overflow-hidden rounded bg-sunken accent-accent [&::-webkit-progress-bar]:bg-sunken [&::-webkit-progress-value]:bg-accent"
          />
          <span className="text-xs whitespace-nowrap">{Math.round(percent)} %</span>
        </div>
      )}
      {told.message !== null && told.message !== '' && (
        <p className="text-sm text-muted [overflow-wrap:anywhere]">{told.message}</p>
      )}
      {told.log !== null && told.log !== '' && (
        <Scroller label="Last log lines" className="max-h-64 overflow-auto rounded bg-sunken p-2.5">
          <pre className="font-mono text-xs leading-relaxed">{told.log}</pre>
        </Scroller>
      )}
    </>
  )
}

function wordOf(state: string): string {
  const words = (memberWords as Record<string, string>)[state] ?? state.replaceAll('-', ' ')
  return words.charAt(0).toUpperCase() + words.slice(1)
}

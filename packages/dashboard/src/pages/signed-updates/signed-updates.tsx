import type { UpdateRole, UpdatesState } from '@freehold/contracts'
import { updateRoles } from '@freehold/contracts'
import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { useClient } from '../../app/client.tsx'
import { useList, wholePage } from '../../app/queries.ts'
import { CopyButton } from '../../components/copy.tsx'
import { ErrorNote } from '../../components/error-note.tsx'
import { GoodIcon, WarnIcon } from '../../components/icons.tsx'
import { Page, Quiet, Section, Skeleton } from '../../components/page.tsx'
import { State, Tag } from '../../components/state.tsx'
import { Ago, useNowMs } from '../../components/time.tsx'
import { DevicePlaces } from '../devices/places.tsx'
import { useHeartbeatRefresh } from '../devices/refresh.ts'
import { nameOfRelease } from '../releases/names.tsx'
import { SignElsewhere } from './commands.tsx'

const roleWords: Record<UpdateRole, string> = {
  root: 'which keys each role has',
  targets: 'which releases there are',
  snapshot: 'which targets are in force',
  timestamp: 'that nothing newer is withheld',
}

/** State of the signed channel, what of it needs a person, and how to sign on another machine. */
export function SignedUpdatesPage() {
  const client = useClient()
  const updates = useQuery({ queryKey: ['updates'], queryFn: ({ signal }) => client.updates.get({ signal }) })
  useHeartbeatRefresh(['updates'])
  const state = updates.data
  return (
    <Page
      title="Signed updates"
      places={<DevicePlaces />}
      lead={<p>Devices take only what these roles have signed. Keys may be taken out of this server.</p>}
    >
      <ErrorNote error={updates.error} onRetry={() => void updates.refetch()} />
      {state === undefined ? (
        updates.error === null && <Skeleton rows={6} />
      ) : (
        <>
          <Problems problems={state.problems} />
          <Roles state={state} />
          <UnsignedReleases />
          <SignElsewhere state={state} />
        </>
      )}
    </Page>
  )
}

function Problems({ problems }: { problems: readonly string[] }) {
  return (
    <Section title="Problems" flush>
      {problems.length === 0 ? (
        <p className="flex items-center gap-2 rounded-lg border border-line bg-surface px-4 py-3">
          <GoodIcon className="text-good" />
          Nothing needs you.
        </p>
      ) : (
        <ul
          aria-live="polite"
          className="divide-y divide-line overflow-hidden rounded-lg border border-line bg-surface"
        >
          {problems.map((problem) => (
            <li key={problem} className="flex items-start gap-2.5 px-4 py-2.5 text-sm">
              <WarnIcon className="mt-0.5 text-warn" />
              <span className="min-w-0 [overflow-wrap:anywhere]">{problem}</span>
            </li>
          ))}
        </ul>
      )}
    </Section>
  )
}

function Roles({ state }: { state: UpdatesState }) {
  return (
    <Section title="Roles" flush>
      <ul className="divide-y divide-line overflow-hidden rounded-lg border border-line bg-surface">
        {updateRoles.map((role) => (
          <Role key={role} role={role} state={state.roles[role]} />
        ))}
      </ul>
    </Section>
  )
}

function Role({ role, state }: { role: UpdateRole; state: UpdatesState['roles'][UpdateRole] }) {
  const isExpired = Date.parse(state.expiresAt) <= useNowMs()
  return (
    <li className="grid gap-x-6 gap-y-2 px-4 py-3 text-sm md:grid-cols-[13rem_1fr]">
      <div className="flex flex-col gap-0.5">
        <h3 className="font-medium">{role}</h3>
        <p className="text-xs text-muted">says {roleWords[role]}</p>
      </div>
      <div className="flex min-w-0 flex-col gap-1.5">
        <p className="flex flex-wrap items-center gap-x-3 gap-y-1">
          <span>version {state.version}</span>
          <span className={isExpired ? 'font-medium text-bad' : 'text-muted'}>
            {isExpired ? 'expired' : 'expires'} <Ago at={state.expiresAt} />
          </span>
          {isExpired && <State state="expired" />}
          <span className="text-muted">
            {state.threshold} of {state.keys.length} {state.keys.length === 1 ? 'key' : 'keys'} must sign
          </span>
        </p>
        <ul className="flex flex-col gap-1">
          {state.keys.map(({ keyid, isHere }) => (
            <li key={keyid} className="flex min-w-0 items-center gap-2">
              <code className="min-w-0 truncate font-mono text-xs" title={keyid}>
                {keyid}
              </code>
              <CopyButton text={keyid} label={`Copy key id of ${role}`} />
              <Tag tone={isHere ? 'idle' : 'moving'}>{isHere ? 'here' : 'elsewhere'}</Tag>
            </li>
          ))}
        </ul>
      </div>
    </li>
  )
}

function UnsignedReleases() {
  const releases = useList('releases', { state: 'unsigned', limit: wholePage })
  return (
    <Section title="Releases that wait for a signature" flush>
      {releases.isPending ? (
        <Skeleton rows={1} />
      ) : releases.items.length === 0 ? (
        <Quiet>None.</Quiet>
      ) : (
        <ul className="divide-y divide-line overflow-hidden rounded-lg border border-line bg-surface text-sm">
          {releases.items.map((release) => (
            <li key={release.id} className="flex flex-wrap items-center gap-x-3 gap-y-1 px-4 py-2">
              <Link to="/releases/$id" params={{ id: release.id }} className="font-medium break-all hover:underline">
                {nameOfRelease(release)}
              </Link>
              <span className="text-xs text-muted">
                made <Ago at={release.createdAt} />
              </span>
            </li>
          ))}
        </ul>
      )}
    </Section>
  )
}

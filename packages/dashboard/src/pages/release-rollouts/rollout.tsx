import { isOpenRollout, memberStates, type ReleaseRollout } from '@freehold/contracts'
import { getRouteApi } from '@tanstack/react-router'
import { OnePage } from '../../app/one-page.tsx'
import { useOne } from '../../app/queries.ts'
import { useMay } from '../../app/session.ts'
import { Card, Facts, Page, Section } from '../../components/page.tsx'
import { Ago, Took } from '../../components/time.tsx'
import { ChannelName, nameOfRelease, ReleaseLink } from '../releases/names.tsx'
import { RolloutActions } from './actions.tsx'
import { MemberBar, MemberLegend } from './member-bar.tsx'
import { Members } from './members.tsx'
import { Phases } from './phases.tsx'
import { RolloutState } from './rollout-state.tsx'
import { windowText } from './window-fields.tsx'

const route = getRouteApi('/shell/release-rollouts/$id')
const parent = { to: '/release-rollouts', label: 'Rollouts' } as const

export function ReleaseRolloutPage() {
  const { id } = route.useParams()
  const rollout = useOne('releaseRollouts', id)
  return (
    <OnePage query={rollout} title="Rollout" what="rollout" list={parent}>
      {(rollout) => <Loaded rollout={rollout} />}
    </OnePage>
  )
}

function Loaded({ rollout }: { rollout: ReleaseRollout }) {
  const { data, status } = rollout
  const search = route.useSearch()
  const navigate = route.useNavigate()
  const mayWrite = useMay()('releases:write')
  const channel = useOne('channels', data.channelId)
  const release = useOne('releases', data.releaseId)
  const names = [release.data && nameOfRelease(release.data), channel.data?.data.name]
  const title = names.every(Boolean) ? names.join(' to ') : 'Rollout'
  return (
    <Page
      title={title}
      parent={parent}
      mark={<RolloutState status={status} />}
      lead={<p aria-live="polite">{status.message}</p>}
      actions={mayWrite && <RolloutActions rollout={rollout} />}
    >
      {status.phases.length > 1 && (
        <Section title="All together">
          <MemberBar counts={status.counts} />
          <MemberLegend counts={status.counts} />
        </Section>
      )}
      <Phases rollout={rollout} />
      <About rollout={rollout} />
      <Members
        rollout={rollout}
        state={memberStates.find((state) => state === search.state)}
        onState={(state) => void navigate({ search: state === undefined ? {} : { state }, replace: true })}
      />
    </Page>
  )
}

function retriedWords(times: number): string {
  if (times === 0) return 'never'
  return times === 1 ? 'once' : `${times} times`
}

function About({ rollout: { data, status, createdAt } }: { rollout: ReleaseRollout }) {
  return (
    <Section title="About" flush>
      <Card>
        <Facts
          facts={[
            ['Release', <ReleaseLink key="release" id={data.releaseId} />],
            ['Channel', <ChannelName key="channel" id={data.channelId} />],
            [
              'Carried before',
              data.previousReleaseId === null ? 'nothing' : <ReleaseLink key="before" id={data.previousReleaseId} />,
            ],
            ['Began', <Ago key="began" at={status.startedAt ?? createdAt} />],
            [
              isOpenRollout(status) ? 'Under way for' : 'Took',
              <Took key="took" from={status.startedAt ?? createdAt} until={status.finishedAt} />,
            ],
            ['Time window', windowText(data.window)],
            ['A device watches it for', `${data.soakSeconds} s`],
            ['Update locks', data.force ? 'are gone over' : 'are respected'],
            ['Retried', retriedWords(data.attempt - 1)],
            ...(data.aborted === null
              ? []
              : [['Aborted', data.aborted === 'keep' ? 'those that have it keep it' : 'all go back'] as const]),
          ]}
        />
      </Card>
    </Section>
  )
}

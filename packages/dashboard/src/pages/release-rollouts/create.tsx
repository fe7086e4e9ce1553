import type { Channel } from '@freehold/contracts'
import { keepPreviousData, useMutation, useQuery } from '@tanstack/react-query'
import { getRouteApi, useNavigate } from '@tanstack/react-router'
import { useDeferredValue, useRef, useState } from 'react'
import { useClient } from '../../app/client.tsx'
import { useList, useOne, wholePage } from '../../app/queries.ts'
import { useMay } from '../../app/session.ts'
import { Button, ButtonLink } from '../../components/button.tsx'
import { ErrorNote, faultAt } from '../../components/error-note.tsx'
import { CheckField, FieldGroup, SelectField, TextField } from '../../components/field.tsx'
import { plural } from '../../components/format.ts'
import { PlusIcon } from '../../components/icons.tsx'
import { Card, Empty, Page, Skeleton } from '../../components/page.tsx'
import { nameOfRelease } from '../releases/names.tsx'
import { ReleaseField } from '../releases/pin-field.tsx'
import { firstDraft, phaseDraft, type RolloutDraft, rolloutInputOf } from './phase-draft.ts'
import { PhaseFields } from './phase-fields.tsx'
import { WindowFields } from './window-fields.tsx'

const route = getRouteApi('/shell/release-rollouts/new')
const shownPaths = ['data.channelId', 'data.releaseId', 'data.window', 'data.soakSeconds']
const phaseNames = ['percent', 'count', 'groupId', 'successPercent', 'errorPercent', 'soakMinutes']

/** Begins a rollout; asked for a release or a channel, the form starts with it. */
export function BeginRolloutPage() {
  const search = route.useSearch()
  const may = useMay()
  const channels = useList('channels', { limit: wholePage })
  const releases = useList('releases', { limit: 1 })
  const asked = useOne('releases', search.release)
  const wanted = asked.data ?? undefined
  const isReading = channels.isPending || releases.isPending || (search.release !== undefined && asked.isPending)
  const fitting = channels.items.filter(({ data }) => wanted === undefined || data.type === wanted.data.type)
  const first = fitting.find(({ id }) => id === search.channel) ?? fitting[0]
  return (
    <Page
      title="Begin rollout"
      parent={{ to: '/release-rollouts', label: 'Rollouts' }}
      lead={<p>A few devices first, then more, and no further where too many fail.</p>}
    >
      {!may('releases:write') ? (
        <Empty title="Your role may not begin rollouts.">Ask an administrator for a role that may.</Empty>
      ) : isReading ? (
        <Skeleton rows={6} />
      ) : releases.items.length === 0 ? (
        <Empty
          title="There is no release to roll out."
          action={<ButtonLink to="/releases/new">Make a release</ButtonLink>}
        />
      ) : first === undefined ? (
        <Empty
          title="There is no channel to bring it to."
          action={<ButtonLink to="/channels">Go to channels</ButtonLink>}
        >
          {wanted !== undefined && `${nameOfRelease(wanted)} needs a channel of type ${wanted.data.type}.`}
        </Empty>
      ) : (
        <BeginForm channels={channels.items} start={{ channelId: first.id, releaseId: wanted?.id ?? '' }} />
      )}
    </Page>
  )
}

function BeginForm(props: { channels: Channel[]; start: { channelId: string; releaseId: string } }) {
  const { channels } = props
  const client = useClient()
  const navigate = useNavigate()
  const groups = useList('deviceGroups', { limit: wholePage })
  const [draft, setDraft] = useState<RolloutDraft>(() => firstDraft(props.start))
  const nextKey = useRef(draft.phases.length)
  const set = (change: Partial<RolloutDraft>) => setDraft((before) => ({ ...before, ...change }))
  const preview = usePreview(draft)
  const begin = useMutation({
    mutationFn: () => client.releaseRollouts.create({ body: { data: rolloutInputOf(draft) } }),
    onSuccess: ({ id }) => void navigate({ to: '/release-rollouts/$id', params: { id } }),
  })
  const fault = (path: string) => faultAt(begin.error, path) ?? faultAt(preview.error, path)
  const channel = channels.find(({ id }) => id === draft.channelId)
  const type = channel?.data.type ?? 'app'
  const followers = groups.items.filter(({ data }) => [data.appChannelId, data.hostChannelId].includes(draft.channelId))
  const { phases } = draft
  const shown = [...shownPaths, ...phases.flatMap((_, at) => phaseNames.map((name) => `data.phases.${at}.${name}`))]
  return (
    <form
      className="max-w-3xl"
      onSubmit={(event) => {
        event.preventDefault()
        begin.mutate()
      }}
    >
      <Card>
        <FieldGroup title="What goes where">
          <div className="grid gap-3 sm:grid-cols-2">
            <SelectField
              label="Channel"
              value={draft.channelId}
              onChange={(channelId) => {
                const isOther = channels.find(({ id }) => id === channelId)?.data.type !== type
                set({ channelId, ...(isOther ? { releaseId: '' } : {}) })
              }}
              choices={channels.map(({ id, data }) => ({ value: id, label: data.name }))}
              error={fault('data.channelId')}
            />
            <ReleaseField
              label="Release"
              type={type}
              none="Choose one"
              value={draft.releaseId}
              onChange={(releaseId) => set({ releaseId })}
              hint="Those that are signed"
              error={fault('data.releaseId')}
            />
          </div>
          <Reach memberCount={preview.data?.memberCount ?? null} groups={followers.length} error={preview.error} />
        </FieldGroup>
        <FieldGroup title="Phases">
          {phases.map((phase, index) => (
            <PhaseFields
              key={phase.key}
              index={index}
              phase={phase}
              isLast={index === phases.length - 1}
              groups={followers}
              devices={preview.data?.phases[index] ?? null}
              set={(change) =>
                set({ phases: phases.map((one) => (one.key === phase.key ? { ...one, ...change } : one)) })
              }
              fault={fault}
              onRemove={
                phases.length === 1 ? null : () => set({ phases: phases.filter(({ key }) => key !== phase.key) })
              }
            />
          ))}
          {fault('data.phases') !== undefined && !hasPhaseFault(shown, fault) && (
            <p className="text-xs font-medium text-bad">{fault('data.phases')}</p>
          )}
          <div>
            <Button
              onClick={() => {
                nextKey.current += 1
                const added = phaseDraft(nextKey.current, { by: 'percent', amount: '10' })
                set({ phases: [...phases.slice(0, -1), added, ...phases.slice(-1)] })
              }}
            >
              <PlusIcon />
              Add phase
            </Button>
          </div>
        </FieldGroup>
        <FieldGroup title="On each device">
          <WindowFields draft={draft} set={set} fault={fault} />
          <div className="grid gap-3 sm:grid-cols-2">
            <TextField
              label="Watches the release for"
              type="number"
              min={0}
              max={86_400}
              required
              value={draft.soakSeconds}
              onChange={(soakSeconds) => set({ soakSeconds })}
              hint="Seconds, before it says that it succeeded"
              error={fault('data.soakSeconds')}
            />
          </div>
          <CheckField
            label="Force"
            hint="Also while an application holds an update lock."
            checked={draft.force}
            onChange={(force) => set({ force })}
          />
        </FieldGroup>
        <ErrorNote error={begin.error} shownPaths={[...shown, 'data.phases']} />
        <div className="flex justify-end gap-2">
          <ButtonLink to="/release-rollouts">Cancel</ButtonLink>
          <Button
            type="submit"
            look="primary"
            busy={begin.isPending}
            disabled={draft.releaseId === '' || (draft.hasWindow && draft.days.length === 0)}
          >
            Begin rollout
          </Button>
        </div>
      </Card>
    </form>
  )
}

/** How many devices it would reach; said again as the draft changes. */
function Reach(props: { memberCount: number | null; groups: number; error: unknown }) {
  const { memberCount, groups, error } = props
  return (
    <div role="status" className="text-sm text-muted">
      {error !== null && error !== undefined ? (
        <span className="font-medium text-bad">{error instanceof Error ? error.message : String(error)}</span>
      ) : memberCount === null ? (
        'Choose a release to see how many devices each phase has.'
      ) : memberCount === 0 ? (
        groups === 0 ? (
          'No group follows this channel: nobody gets it, and the channel carries it at once.'
        ) : (
          'No device follows this channel now: the channel carries it at once.'
        )
      ) : (
        `${plural(memberCount, 'device')} of the channel would be members.`
      )}
    </div>
  )
}

function usePreview(draft: RolloutDraft) {
  const client = useClient()
  const wanted = useDeferredValue(JSON.stringify(rolloutInputOf(draft)))
  return useQuery({
    queryKey: ['releaseRollouts', 'preview', wanted],
    enabled: draft.releaseId !== '',
    placeholderData: keepPreviousData,
    gcTime: 0,
    staleTime: 0,
    queryFn: ({ signal }) =>
      client.releaseRollouts.preview({
        body: { data: JSON.parse(wanted) as ReturnType<typeof rolloutInputOf> },
        signal,
      }),
  })
}

function hasPhaseFault(paths: readonly string[], fault: (path: string) => string | undefined): boolean {
  return paths.some((path) => path.startsWith('data.phases.') && fault(path) !== undefined)
}

import { useMutation } from '@tanstack/react-query'
import { getRouteApi, useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { useClient } from '../../app/client.tsx'
import { OnePage } from '../../app/one-page.tsx'
import { useOne } from '../../app/queries.ts'
import { useMay } from '../../app/session.ts'
import { Button, ButtonLink } from '../../components/button.tsx'
import { Confirm } from '../../components/confirm.tsx'
import { ActionsMenu, MenuItem } from '../../components/menu.tsx'
import { Facts, Page, Section } from '../../components/page.tsx'
import { State, Tag } from '../../components/state.tsx'
import { Ago, Took } from '../../components/time.tsx'
import { Artifact } from './artifact.tsx'
import { deviceName } from './device-step.tsx'
import { EnrolledDevice } from './enrolled-device.tsx'
import { BuildLog } from './log.tsx'
import { BuildProgress } from './progress.tsx'
import { type Build, isOpenBuild, kindWords, nameOfBuild } from './words.ts'

const route = getRouteApi('/shell/builds/$id')

export function BuildPage() {
  const { id } = route.useParams()
  const build = useOne('builds', id)
  return (
    <OnePage query={build} title="Build" what="build" list={{ to: '/builds', label: 'Builds' }}>
      {(build) => <Loaded build={build} />}
    </OnePage>
  )
}

function Loaded({ build }: { build: Build }) {
  const { status } = build
  const mayWrite = useMay()('builds:write')
  const [open, setOpen] = useState<'cancel' | 'delete' | null>(null)
  const isOpen = isOpenBuild(build)
  return (
    <Page
      title={nameOfBuild(build)}
      parent={{ to: '/builds', label: 'Builds' }}
      mark={<State state={status.state} />}
      lead={<p aria-live="polite">{status.message}</p>}
      actions={
        mayWrite && (
          <>
            {isOpen ? (
              <Button look="danger" onClick={() => setOpen('cancel')}>
                Cancel build
              </Button>
            ) : (
              <ButtonLink to="/builds/new" search={{ from: build.id }}>
                Build another like it
              </ButtonLink>
            )}
            {!isOpen && (
              <ActionsMenu label="More actions" look="secondary">
                <MenuItem danger onSelect={() => setOpen('delete')}>
                  Delete build
                </MenuItem>
              </ActionsMenu>
            )}
          </>
        )
      }
    >
      {isOpen && <BuildProgress build={build} />}
      {status.artifact !== null && <Artifact build={build} artifact={status.artifact} mayDownload={mayWrite} />}
      <EnrolledDevice build={build} />
      <About build={build} />
      <BuildLog id={build.id} />
      {open === 'cancel' && <CancelDialog build={build} onClose={() => setOpen(null)} />}
      {open === 'delete' && <DeleteDialog build={build} onClose={() => setOpen(null)} />}
    </Page>
  )
}

function About({ build: { id, data, status, createdAt } }: { build: Build }) {
  const base = useOne('baseImages', data.baseImageId)
  const labels = Object.entries(data.deviceLabels)
  return (
    <Section title="About">
      <Facts
        facts={[
          ['Device', deviceName(data)],
          ['Kind', kindWords[data.imageKind]],
          [
            'Base image',
            data.baseImageId === null ? `Ubuntu ${data.ubuntuVersion}` : (base.data?.data.name ?? 'one that is gone'),
          ],
          ['Hostname', nameOfBuild({ id, data })],
          [
            'Wi-Fi',
            data.wifi === null
              ? 'none'
              : `${data.wifi.ssid}${data.wifi.isOpen ? ', open' : ''}${data.wifi.hidden ? ', hidden' : ''}`,
          ],
          ['SSH', data.sshPublicKey === null ? 'nobody signs in' : `a key of ${userOf(data)}`],
          [
            'Labels of the device',
            labels.length === 0 ? (
              'none'
            ) : (
              <span key="labels" className="flex flex-wrap gap-1">
                {labels.map(([key, value]) => (
                  <Tag key={key}>{`${key}=${value}`}</Tag>
                ))}
              </span>
            ),
          ],
          ...(data.imageKind === 'balena-raw' ? [['Compression', data.compression] as const] : []),
          [
            'Asked for',
            <span key="begun">
              <Ago at={createdAt} />
              {data.requestedBy !== undefined && ` by ${data.requestedBy}`}
            </span>,
          ],
          ['Worker', status.workerId ?? 'none yet'],
          ...(status.attempt > 1 ? [['Attempt', String(status.attempt)] as const] : []),
          ...(status.startedAt === null
            ? []
            : [['Took', <Took key="took" from={status.startedAt} until={status.endedAt} />] as const]),
        ]}
      />
    </Section>
  )
}

function userOf({ imageKind, sshUser }: Build['data']): string {
  return imageKind === 'ubuntu-iso' ? sshUser : 'root'
}

function CancelDialog({ build, onClose }: { build: Build; onClose: () => void }) {
  const client = useClient()
  const mutation = useMutation({
    mutationFn: async (_: undefined): Promise<unknown> => client.builds.cancel({ params: { id: build.id } }),
  })
  return (
    <Confirm title={`Cancel ${nameOfBuild(build)}?`} action="Cancel build" mutation={mutation} onClose={onClose}>
      <p>The worker stops, its join token is revoked, and nothing of the image stays.</p>
    </Confirm>
  )
}

function DeleteDialog({ build, onClose }: { build: Build; onClose: () => void }) {
  const client = useClient()
  const navigate = useNavigate()
  const mutation = useMutation({
    mutationFn: async (_: undefined): Promise<unknown> => client.builds.delete({ params: { id: build.id } }),
  })
  return (
    <Confirm
      title={`Delete ${nameOfBuild(build)}?`}
      action="Delete build"
      mutation={mutation}
      onClose={onClose}
      onDone={() => void navigate({ to: '/builds' })}
    >
      <p>The image goes, and its join token is revoked unless a device has enrolled with it. That device stays.</p>
    </Confirm>
  )
}

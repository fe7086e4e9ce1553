import type { Release, ReleaseService } from '@freehold/contracts'
import { useMutation } from '@tanstack/react-query'
import { getRouteApi, useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { useClient } from '../../app/client.tsx'
import { OnePage } from '../../app/one-page.tsx'
import { useOne } from '../../app/queries.ts'
import { useMay } from '../../app/session.ts'
import { ButtonLink } from '../../components/button.tsx'
import { Confirm } from '../../components/confirm.tsx'
import { CopyButton } from '../../components/copy.tsx'
import { bytes, plural } from '../../components/format.ts'
import { ActionsMenu, MenuItem, MenuSeparator } from '../../components/menu.tsx'
import { Card, Facts, Page, Section } from '../../components/page.tsx'
import { State } from '../../components/state.tsx'
import { Ago } from '../../components/time.tsx'
import { ImageOfRelease } from './image.tsx'
import { typeWords } from './list.tsx'
import { nameOfRelease } from './names.tsx'
import { NotesDialog } from './notes.tsx'
import { ReleaseUsers } from './users.tsx'

const route = getRouteApi('/shell/releases/$id')
const parent = { to: '/releases', label: 'Releases' } as const
type Act = 'notes' | 'withdraw' | 'delete'

export function ReleasePage() {
  const { id } = route.useParams()
  const release = useOne('releases', id)
  return (
    <OnePage query={release} title="Release" what="release" list={parent}>
      {(release) => <Loaded release={release} />}
    </OnePage>
  )
}

function Loaded({ release }: { release: Release }) {
  const { data, status } = release
  const may = useMay()
  const [open, setOpen] = useState<Act | null>(null)
  const close = () => setOpen(null)
  return (
    <Page
      title={nameOfRelease(release)}
      parent={parent}
      mark={<State state={status.state} />}
      lead={<p aria-live="polite">{status.message}</p>}
      actions={
        may('releases:write') && (
          <>
            {status.state === 'signed' && (
              <ButtonLink to="/release-rollouts/new" search={{ release: release.id }} look="primary">
                Roll out
              </ButtonLink>
            )}
            {status.state === 'unsigned' && <ButtonLink to="/signed-updates">How to sign it</ButtonLink>}
            <ReleaseMenu withdrawn={status.state === 'withdrawn'} onChoose={setOpen} />
          </>
        )
      }
    >
      <About release={release} />
      {data.host !== null && <Host host={data.host} />}
      {data.services.length > 0 && (
        <Section title="Services" lead={plural(data.services.length, 'container')} flush>
          <div className="grid gap-3 xl:grid-cols-2">
            {data.services.map((service) => (
              <Service key={service.name} service={service} />
            ))}
          </div>
        </Section>
      )}
      <ReleaseUsers release={release} />
      {open === 'notes' && <NotesDialog release={release} onClose={close} />}
      {(open === 'withdraw' || open === 'delete') && <ActDialog release={release} act={open} onClose={close} />}
    </Page>
  )
}

function ReleaseMenu({ withdrawn, onChoose }: { withdrawn: boolean; onChoose: (act: Act) => void }) {
  return (
    <ActionsMenu label="More actions" look="secondary">
      <MenuItem onSelect={() => onChoose('notes')}>Edit notes</MenuItem>
      <MenuSeparator />
      {!withdrawn && (
        <MenuItem danger onSelect={() => onChoose('withdraw')}>
          Withdraw
        </MenuItem>
      )}
      <MenuItem danger onSelect={() => onChoose('delete')}>
        Delete release
      </MenuItem>
    </ActionsMenu>
  )
}

/** A host is for one type of device; an application for those it names, or for any. */
function typesOf({ host, deviceTypes }: Release['data']): string {
  if (host !== null) return host.deviceType
  return deviceTypes.length === 0 ? 'any type of device' : deviceTypes.join(', ')
}

function About({ release: { data, status, createdAt, labels } }: { release: Release }) {
  const { target } = status
  return (
    <Section title="About">
      <Facts
        facts={[
          ['Product', data.product],
          ['Version', data.version],
          ['Type', typeWords[data.type]],
          ['Runs on', typesOf(data)],
          ['Made', <Ago key="made" at={createdAt} />],
          ...Object.entries(labels).map(([key, value]) => [key, value] as const),
        ]}
      />
      {data.notes !== '' && <p className="text-sm whitespace-pre-wrap">{data.notes}</p>}
      {target !== null && (
        <Facts
          facts={[
            [
              `Manifest, ${bytes(target.sizeBytes)}, below /updates/`,
              <code key="path" className="font-mono text-xs break-all">
                {target.path}
              </code>,
            ],
            [
              'SHA-256 of the manifest',
              <span key="sha" className="flex items-center gap-1">
                <code className="min-w-0 font-mono text-xs break-all">{target.sha256}</code>
                <CopyButton text={target.sha256} label="Copy SHA-256" />
              </span>,
            ],
          ]}
        />
      )}
    </Section>
  )
}

function Host({ host }: { host: NonNullable<Release['data']['host']> }) {
  return (
    <Section title="Host system">
      <Facts
        facts={[
          ['Type of device', host.deviceType],
          ['From version', host.minimumVersion ?? 'any'],
          ['Root file system', <ImageOfRelease key="hostapp" image={host.hostapp} />],
          [
            'Device agent',
            host.baserunner === null ? (
              'the one that is there stays'
            ) : (
              <ImageOfRelease key="runner" image={host.baserunner} />
            ),
          ],
          ['Licences', host.licenseBundle === null ? 'none' : 'license-bundle.tar.gz, beside the manifest'],
        ]}
      />
    </Section>
  )
}

function Service({ service }: { service: ReleaseService }) {
  const variables = Object.entries(service.environment)
  const code = (lines: readonly string[]) => (
    <code className="font-mono text-xs break-all whitespace-pre-wrap">{lines.join('\n')}</code>
  )
  return (
    <Card>
      <h3 className="text-sm font-semibold">{service.name}</h3>
      <Facts
        facts={[
          ['Image', <ImageOfRelease key="image" image={service.image} />],
          ...(service.ports.length === 0
            ? []
            : [
                [
                  'Ports, device to container',
                  code(service.ports.map(({ host, container, protocol }) => `${host} → ${container}/${protocol}`)),
                ] as const,
              ]),
          ...(service.volumes.length === 0
            ? []
            : [['Volumes', code(service.volumes.map(({ name, path }) => `${name} at ${path}`))] as const]),
          ...(variables.length === 0
            ? []
            : [['Environment', code(variables.map(([name, value]) => `${name}=${value}`))] as const]),
          ...(service.command === null ? [] : [['Command', code([service.command.join(' ')])] as const]),
          ...(Object.keys(service.labels).length === 0
            ? []
            : [['Labels', code(Object.entries(service.labels).map(([key, value]) => `${key}=${value}`))] as const]),
          ['Restarted', service.restart.replaceAll('-', ' ')],
          ...(service.network === 'host' ? [['Network', 'that of the host'] as const] : []),
          ...(service.privileged ? [['Rights', 'privileged'] as const] : []),
        ]}
      />
    </Card>
  )
}

const words = {
  withdraw: {
    action: 'Withdraw',
    text: 'Devices refuse it from now on, and pull nothing of it. Those that run it go on. This cannot be taken back.',
  },
  delete: {
    action: 'Delete release',
    text: 'It is forgotten, and its images are no longer kept for it. It is refused while a channel, a group or a device needs it.',
  },
}

function ActDialog(props: { release: Release; act: 'withdraw' | 'delete'; onClose: () => void }) {
  const { release, act, onClose } = props
  const client = useClient()
  const navigate = useNavigate()
  const mutation = useMutation({
    mutationFn: async (_: undefined): Promise<unknown> => client.releases[act]({ params: { id: release.id } }),
  })
  const name = nameOfRelease(release)
  return (
    <Confirm
      title={act === 'delete' ? `Delete ${name}?` : `Withdraw ${name}?`}
      action={words[act].action}
      mutation={mutation}
      onClose={onClose}
      {...(act === 'delete' ? { onDone: () => void navigate({ to: '/releases' }) } : {})}
    >
      <p>{words[act].text}</p>
    </Confirm>
  )
}

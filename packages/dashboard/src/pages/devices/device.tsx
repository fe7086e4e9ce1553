import type { Device } from '@freehold/contracts'
import { useMutation } from '@tanstack/react-query'
import { getRouteApi, useNavigate } from '@tanstack/react-router'
import { type ReactNode, useState } from 'react'
import { useClient } from '../../app/client.tsx'
import { OnePage } from '../../app/one-page.tsx'
import { useOne } from '../../app/queries.ts'
import { useMay } from '../../app/session.ts'
import { Button } from '../../components/button.tsx'
import { Confirm } from '../../components/confirm.tsx'
import { ErrorNote } from '../../components/error-note.tsx'
import { WarnIcon } from '../../components/icons.tsx'
import { ActionsMenu, MenuItem, MenuSeparator } from '../../components/menu.tsx'
import { Facts, Page, Section, Skeleton } from '../../components/page.tsx'
import { State, Tag } from '../../components/state.tsx'
import { Ago } from '../../components/time.tsx'
import { AskDialog } from './ask.tsx'
import { AskedActions } from './asked.tsx'
import { Containers } from './containers.tsx'
import { EditDeviceDialog } from './edit.tsx'
import { History } from './history.tsx'
import { PinsDialog } from './pins.tsx'
import { useHeartbeatRefresh } from './refresh.ts'
import { useReport } from './report.ts'
import { RunsHere } from './runs-here.tsx'
import { UpdateFailure } from './update-failure.tsx'

const route = getRouteApi('/shell/devices/$id')
type Act = 'edit' | 'pins' | 'update' | 'reboot' | 'revoke' | 'readopt' | 'delete'

export function DevicePage() {
  const { id } = route.useParams()
  const device = useOne('devices', id)
  useHeartbeatRefresh(['devices', 'one', id])
  return (
    <OnePage query={device} title="Device" what="device" list={{ to: '/devices', label: 'Devices' }}>
      {(device) => <Loaded device={device} />}
    </OnePage>
  )
}

function Loaded({ device }: { device: Device }) {
  const { data, status } = device
  const client = useClient()
  const mayWrite = useMay()('devices:write')
  const [open, setOpen] = useState<Act | null>(null)
  const close = () => setOpen(null)
  const params = { id: device.id }
  const approve = useMutation({ mutationFn: () => client.devices.approve({ params }) })
  const acknowledge = useMutation({ mutationFn: () => client.devices.acknowledge({ params }) })
  return (
    <Page
      title={data.name}
      parent={{ to: '/devices', label: 'Devices' }}
      mark={<State state={status.state} />}
      lead={
        <p aria-live="polite">{status.state === 'online' ? <Heard at={status.lastHeartbeatAt} /> : status.message}</p>
      }
      actions={
        mayWrite && (
          <>
            {data.access === 'waiting' && (
              <Button look="primary" busy={approve.isPending} onClick={() => approve.mutate()}>
                Approve
              </Button>
            )}
            {data.access === 'allowed' && (
              <>
                <Button onClick={() => setOpen('update')}>Look for update</Button>
                <Button onClick={() => setOpen('reboot')}>Reboot</Button>
              </>
            )}
            <DeviceMenu revoked={data.access === 'revoked'} onChoose={setOpen} />
          </>
        )
      }
    >
      <ErrorNote error={approve.error ?? acknowledge.error} />
      <Notices
        device={device}
        action={
          mayWrite && (
            <Button busy={acknowledge.isPending} onClick={() => acknowledge.mutate()}>
              Seen
            </Button>
          )
        }
      />
      <UpdateFailure device={device} />
      <RunsHere device={device} onPin={mayWrite ? () => setOpen('pins') : null} />
      <AskedActions device={device} />
      <About device={device} />
      <Reported id={device.id} />
      {open === 'edit' && <EditDeviceDialog device={device} onClose={close} />}
      {open === 'pins' && <PinsDialog device={device} onClose={close} />}
      {(open === 'update' || open === 'reboot') && <AskDialog device={device} kind={open} onClose={close} />}
      {(open === 'revoke' || open === 'readopt' || open === 'delete') && (
        <ActDialog device={device} act={open} onClose={close} />
      )}
    </Page>
  )
}

function Heard({ at }: { at: string | null }) {
  if (at === null) return null
  return (
    <>
      Last heard <Ago at={at} />.
    </>
  )
}

function DeviceMenu({ revoked, onChoose }: { revoked: boolean; onChoose: (act: Act) => void }) {
  return (
    <ActionsMenu label="More actions" look="secondary">
      <MenuItem onSelect={() => onChoose('edit')}>Rename and label</MenuItem>
      <MenuItem onSelect={() => onChoose('pins')}>Pin releases</MenuItem>
      <MenuItem onSelect={() => onChoose('readopt')}>Let it come back</MenuItem>
      <MenuSeparator />
      {!revoked && (
        <MenuItem danger onSelect={() => onChoose('revoke')}>
          Revoke
        </MenuItem>
      )}
      <MenuItem danger onSelect={() => onChoose('delete')}>
        Delete device
      </MenuItem>
    </ActionsMenu>
  )
}

function Notices({ device: { data, status }, action }: { device: Device; action: ReactNode }) {
  return (
    <>
      {status.clone !== null && (
        <Notice action={action}>
          {status.clone.message} Seen <Ago at={status.clone.at} />.
        </Notice>
      )}
      {status.claim !== null && (
        <Notice action={status.clone === null && action}>
          Somebody at {status.claim.address} registered as this device without proving to be it, and was refused (
          {status.claim.attempts === 1 ? 'once' : `${status.claim.attempts} times`}, last <Ago at={status.claim.at} />
          ). If the device was wiped, let it come back.
        </Notice>
      )}
      {data.readoptUntil !== null && (
        <Notice>It may register anew, once, until {new Date(data.readoptUntil).toLocaleString()}.</Notice>
      )}
    </>
  )
}

function Notice({ children, action }: { children: ReactNode; action?: ReactNode }) {
  return (
    <div role="status" className="flex flex-wrap items-start gap-2 rounded-md bg-warn-soft px-3 py-2 text-sm">
      <WarnIcon className="mt-0.5 text-warn" />
      <p className="min-w-0 flex-1">{children}</p>
      {action}
    </div>
  )
}

function About({ device: { id, data, status, labels } }: { device: Device }) {
  const { summary } = status
  return (
    <Section title="About">
      <Facts
        facts={[
          ['Last heartbeat', status.lastHeartbeatAt === null ? 'never' : <Ago key="at" at={status.lastHeartbeatAt} />],
          ['Interval', status.intervalMs === null ? 'not known yet' : `${status.intervalMs / 1000} s`],
          ['System', summary?.osVersion ?? 'not known yet'],
          ['Architecture', summary?.architecture ?? 'not known yet'],
          ['Agent', summary?.agentVersion ?? 'not known yet'],
          ['Supervisor', [summary?.supervisorVersion, summary?.supervisorState].filter(Boolean).join(', ') || 'none'],
          ['Last update', summary?.updateOutcome ?? 'none'],
          ['Problem', summary?.problem ?? 'none'],
          ['Enrolled', status.enrolledAt === null ? 'not yet' : <Ago key="enrolled" at={status.enrolledAt} />],
          ['Node id, its own', <Mono key="node" text={data.nodeId} />],
          ['Id, for the command line', <Mono key="id" text={id} />],
          [
            'Labels',
            Object.keys(labels).length === 0 ? (
              'none'
            ) : (
              <span key="labels" className="flex flex-wrap gap-1">
                {Object.entries(labels).map(([key, value]) => (
                  <Tag key={key}>{`${key}=${value}`}</Tag>
                ))}
              </span>
            ),
          ],
        ]}
      />
      {data.description !== '' && <p className="text-sm text-muted">{data.description}</p>}
    </Section>
  )
}

function Mono({ text }: { text: string }) {
  return <code className="font-mono text-xs break-all">{text}</code>
}

function Reported({ id }: { id: string }) {
  const report = useReport(id)
  if (report.data === undefined) {
    return report.error === null ? <Skeleton rows={3} /> : <ErrorNote error={report.error} />
  }
  return (
    <>
      <Section title="History" lead="The last day by quarters of an hour, the last month by six hours." flush>
        <History day={report.data.day} month={report.data.month} />
      </Section>
      <Containers containers={report.data.report?.apps?.containers ?? []} />
    </>
  )
}

const words = {
  revoke: {
    title: (name: string) => `Revoke ${name}?`,
    action: 'Revoke',
    text: 'Its tokens are refused from now on. What runs on it goes on running. “Let it come back” takes it in again.',
  },
  readopt: {
    title: (name: string) => `Let ${name} come back?`,
    action: 'Let it come back',
    text: 'Within a day whoever claimed to be it, or else the first to come with a join token of yours, becomes this device, once. All its earlier tokens end then.',
  },
  delete: {
    title: (name: string) => `Delete ${name}?`,
    action: 'Delete device',
    text: 'It is forgotten with its history, and its tokens are refused. With a join token that is still good it may enrol anew.',
  },
}

function ActDialog({ device, act, onClose }: { device: Device; act: keyof typeof words; onClose: () => void }) {
  const client = useClient()
  const navigate = useNavigate()
  const mutation = useMutation({
    mutationFn: async (_: undefined): Promise<unknown> => client.devices[act]({ params: { id: device.id } }),
  })
  const { title, action, text } = words[act]
  return (
    <Confirm
      title={title(device.data.name)}
      action={action}
      mutation={mutation}
      onClose={onClose}
      {...(act === 'delete' ? { onDone: () => void navigate({ to: '/devices' }) } : {})}
    >
      <p>{text}</p>
    </Confirm>
  )
}

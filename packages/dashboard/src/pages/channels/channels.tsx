import { useState } from 'react'
import { useList, wholePage } from '../../app/queries.ts'
import { useMay } from '../../app/session.ts'
import { Button } from '../../components/button.tsx'
import { ErrorNote } from '../../components/error-note.tsx'
import { PlusIcon } from '../../components/icons.tsx'
import { Empty, Page, Section, Skeleton } from '../../components/page.tsx'
import { DevicePlaces } from '../devices/places.tsx'
import { ChannelDialog, DeleteChannelDialog } from './channel-dialogs.tsx'
import { type ChannelChoice, ChannelTable } from './channel-table.tsx'
import { DeleteGroupDialog, GroupDialog } from './group-dialogs.tsx'
import { type GroupChoice, GroupTable } from './group-table.tsx'

/** Which release goes where: channels carry one each, groups say which devices follow them. */
export function ChannelsPage() {
  return (
    <Page
      title="Channels and groups"
      places={<DevicePlaces />}
      lead={<p>A channel carries one release. A group says by labels which devices follow it.</p>}
    >
      <Channels />
      <Groups />
    </Page>
  )
}

function Channels() {
  const mayWrite = useMay()('releases:write')
  const channels = useList('channels', { limit: wholePage })
  const [chosen, setChosen] = useState<ChannelChoice | 'new' | null>(null)
  const close = () => setChosen(null)
  const make = (
    <Button look="primary" onClick={() => setChosen('new')}>
      <PlusIcon />
      Make channel
    </Button>
  )
  return (
    <Section title="Channels" flush actions={mayWrite && channels.items.length > 0 && make}>
      <ErrorNote error={channels.error} />
      {channels.isPending ? (
        <Skeleton rows={2} />
      ) : channels.items.length === 0 ? (
        <Empty title="No channels yet" action={mayWrite && make}>
          Begin with one, such as “stable”. Then let a group of devices follow it.
        </Empty>
      ) : (
        <ChannelTable channels={channels.items} onChoose={mayWrite ? setChosen : null} />
      )}
      {chosen === 'new' && <ChannelDialog channel={null} onClose={close} />}
      {chosen !== null && chosen !== 'new' && chosen.act === 'edit' && (
        <ChannelDialog channel={chosen.channel} onClose={close} />
      )}
      {chosen !== null && chosen !== 'new' && chosen.act === 'delete' && (
        <DeleteChannelDialog channel={chosen.channel} onClose={close} />
      )}
    </Section>
  )
}

function Groups() {
  const mayWrite = useMay()('releases:write')
  const groups = useList('deviceGroups', { limit: wholePage })
  const [chosen, setChosen] = useState<GroupChoice | 'new' | null>(null)
  const close = () => setChosen(null)
  const make = (look: 'primary' | 'secondary') => (
    <Button look={look} onClick={() => setChosen('new')}>
      <PlusIcon />
      Make group
    </Button>
  )
  return (
    <Section
      title="Device groups"
      lead="A device belongs to one: of those that select it, the one with the smallest priority."
      flush
      actions={mayWrite && groups.items.length > 0 && make('secondary')}
    >
      <ErrorNote error={groups.error} />
      {groups.isPending ? (
        <Skeleton rows={2} />
      ) : groups.items.length === 0 ? (
        <Empty title="No groups yet" action={mayWrite && make('secondary')}>
          Devices follow no channel until a group selects them. One without labels selects them all.
        </Empty>
      ) : (
        <GroupTable groups={groups.items} onChoose={mayWrite ? setChosen : null} />
      )}
      {chosen === 'new' && <GroupDialog group={null} onClose={close} />}
      {chosen !== null && chosen !== 'new' && chosen.act === 'edit' && (
        <GroupDialog group={chosen.group} onClose={close} />
      )}
      {chosen !== null && chosen !== 'new' && chosen.act === 'delete' && (
        <DeleteGroupDialog group={chosen.group} onClose={close} />
      )}
    </Section>
  )
}

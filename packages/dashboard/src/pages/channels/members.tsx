import type { DeviceGroup } from '@freehold/contracts'
import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { useClient } from '../../app/client.tsx'
import { Dialog } from '../../components/dialog.tsx'
import { ErrorNote } from '../../components/error-note.tsx'
import { plural } from '../../components/format.ts'
import { Skeleton } from '../../components/page.tsx'

/** Who belongs to a group; of many the first. */
export function MembersDialog({ group, onClose }: { group: DeviceGroup; onClose: () => void }) {
  const client = useClient()
  const members = useQuery({
    queryKey: ['deviceGroups', 'members', group.id, 'list'],
    staleTime: 0,
    queryFn: ({ signal }) => client.deviceGroups.members({ params: { id: group.id }, signal }),
  })
  return (
    <Dialog title={`Devices of ${group.data.name}`} onClose={onClose}>
      <ErrorNote error={members.error} />
      {members.data === undefined ? (
        members.error === null && <Skeleton rows={3} />
      ) : members.data.count === 0 ? (
        <p className="text-sm text-muted">No device that was let in has its labels.</p>
      ) : (
        <>
          <p className="text-sm text-muted">
            {plural(members.data.count, 'device')}
            {members.data.count > members.data.devices.length && `; the first ${members.data.devices.length}:`}
          </p>
          <ul className="flex flex-wrap gap-x-4 gap-y-1 text-sm">
            {members.data.devices.map(({ id, name }) => (
              <li key={id}>
                <Link to="/devices/$id" params={{ id }} className="wrap-anywhere hover:underline">
                  {name}
                </Link>
              </li>
            ))}
          </ul>
        </>
      )}
    </Dialog>
  )
}

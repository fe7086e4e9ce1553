import { Link } from '@tanstack/react-router'
import { useList, useOne } from '../../app/queries.ts'
import { useMay } from '../../app/session.ts'
import { ErrorNote } from '../../components/error-note.tsx'
import { Quiet, Section } from '../../components/page.tsx'
import { State } from '../../components/state.tsx'
import { Ago, useNowMs } from '../../components/time.tsx'
import type { Build } from './words.ts'

/** The device that enrolled with the token in the image, or how that token stands. */
export function EnrolledDevice({ build }: { build: Build }) {
  const may = useMay()
  const mayRead = may('devices:read')
  const { joinTokenId } = build.data
  const devices = useList('devices', { joinTokenId, limit: 1 }, { enabled: mayRead })
  const token = useOne('joinTokens', may('join-tokens:read') ? joinTokenId : undefined)
  const nowMs = useNowMs()
  const device = devices.items[0]
  if (!mayRead || (device === undefined && build.status.state !== 'succeeded')) return null
  return (
    <Section title="Device" flush>
      <ErrorNote error={devices.error} />
      {device !== undefined ? (
        <Link
          to="/devices/$id"
          params={{ id: device.id }}
          className="flex flex-wrap items-center gap-x-3 gap-y-1 rounded-lg border border-line bg-surface px-4 py-3 hover:bg-sunken"
        >
          <span className="font-medium break-all">{device.data.name}</span>
          <State state={device.status.state} />
          <span className="text-sm text-muted">
            enrolled with this image
            {device.status.enrolledAt !== null && (
              <>
                {' '}
                <Ago at={device.status.enrolledAt} />
              </>
            )}
          </span>
        </Link>
      ) : (
        <Quiet>
          {token.data === undefined || token.data === null ? (
            'No device has enrolled with this image yet.'
          ) : token.data.data.revoked ? (
            'No device has enrolled with this image, and none can any more: its token was revoked.'
          ) : Date.parse(token.data.data.expiresAt) <= nowMs ? (
            'No device has enrolled with this image, and none can any more: its token has expired.'
          ) : (
            <>
              No device has enrolled with this image yet. Its token is good until it is used, and expires{' '}
              <Ago at={token.data.data.expiresAt} />.
            </>
          )}
        </Quiet>
      )}
    </Section>
  )
}

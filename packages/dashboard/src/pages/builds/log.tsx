import type { BuildLogLine } from '@freehold/contracts'
import { useCallback } from 'react'
import { useClient } from '../../app/client.tsx'
import { type NumberedLine, useLineStream } from '../../app/line-stream.ts'
import { Button } from '../../components/button.tsx'
import { ErrorNote } from '../../components/error-note.tsx'
import { LogBox } from '../../components/log-box.tsx'
import { Quiet, Section } from '../../components/page.tsx'

const words = {
  connecting: 'Waiting for lines…',
  following: 'Following',
  paused: 'Paused',
  ended: '',
  failed: 'Not following',
}

/** What the workers said, as they say it, until the build has ended. */
export function BuildLog({ id }: { id: string }) {
  const client = useClient()
  const open = useCallback(
    (signal: AbortSignal) => client.builds.log({ params: { id }, query: { follow: true }, signal }),
    [client, id],
  )
  const log = useLineStream(open)
  return (
    <Section
      title="Log"
      flush
      actions={
        <>
          <span role="status" className="text-sm text-muted">
            {words[log.state]}
          </span>
          {log.state === 'failed' && <Button onClick={log.restart}>Follow again</Button>}
        </>
      }
    >
      <ErrorNote error={log.error} />
      {log.lines.length === 0 ? (
        <Quiet>{log.state === 'ended' ? 'The workers said nothing.' : 'Nothing was said yet.'}</Quiet>
      ) : (
        <LogBox newest={log.lines.at(-1)?.number} isFollowing={log.state === 'following'} className="max-h-[50dvh]">
          {log.lines.map((line, index) => (
            <Line key={line.number} line={line} before={log.lines[index - 1]} />
          ))}
        </LogBox>
      )}
    </Section>
  )
}

/** A line; the first of another attempt says so. */
function Line({
  line: { line },
  before,
}: {
  line: NumberedLine<BuildLogLine>
  before: NumberedLine<BuildLogLine> | undefined
}) {
  const isAnother = before !== undefined && before.line.attempt !== line.attempt
  return (
    <>
      {isAnother && <div className="my-1 border-t border-line px-3 pt-1 font-medium">Attempt {line.attempt}</div>}
      <div className="flex gap-3 px-3 hover:bg-sunken">
        <span className="text-muted max-sm:hidden" title={line.at}>
          {new Date(line.at).toLocaleTimeString()}
        </span>
        <span className="min-w-0 flex-1 whitespace-pre-wrap [overflow-wrap:anywhere]">{line.text}</span>
      </div>
    </>
  )
}

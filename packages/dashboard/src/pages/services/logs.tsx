import type { LogLine, Service } from '@freehold/contracts'
import type { NumberedLine } from '../../app/line-stream.ts'
import { Button } from '../../components/button.tsx'
import { ErrorNote } from '../../components/error-note.tsx'
import { LogBox } from '../../components/log-box.tsx'
import { Empty, Section } from '../../components/page.tsx'
import { useLogLines } from './log-lines.ts'

/** Log lines of all containers, as they are written. */
export function Logs({ service }: { service: Service }) {
  const logs = useLogLines(service.id)
  const words = {
    connecting: 'Waiting for lines…',
    following: 'Following',
    paused: `Paused${logs.waiting > 0 ? `, ${logs.waiting} new` : ''}`,
    ended: 'The stream ended.',
    failed: 'Not following',
  }
  return (
    <Section
      title="Logs"
      flush
      actions={
        <>
          <span role="status" className="text-sm text-muted">
            {words[logs.state]}
          </span>
          {logs.state === 'ended' || logs.state === 'failed' ? (
            <Button onClick={logs.restart}>Follow again</Button>
          ) : (
            <Button aria-pressed={logs.state === 'paused'} onClick={logs.toggle}>
              {logs.state === 'paused' ? 'Follow' : 'Pause'}
            </Button>
          )}
          <Button onClick={logs.clear}>Clear</Button>
        </>
      }
    >
      <ErrorNote error={logs.error} />
      {logs.lines.length === 0 ? (
        <Empty title="No log lines yet.">What the containers write to their output appears here.</Empty>
      ) : (
        <Lines lines={logs.lines} isFollowing={logs.state === 'following'} />
      )}
    </Section>
  )
}

function Lines({ lines, isFollowing }: { lines: readonly NumberedLine<LogLine>[]; isFollowing: boolean }) {
  return (
    <LogBox newest={lines.at(-1)?.number} isFollowing={isFollowing} className="h-[60dvh]">
      {lines.map(({ number, line }) => (
        <div key={number} className="flex gap-3 px-3 hover:bg-sunken">
          <span className="text-muted max-sm:hidden" title={line.at}>
            {line.at === '' ? '' : new Date(line.at).toLocaleTimeString()}
          </span>
          <span className="w-24 truncate text-muted max-md:hidden" title={`${line.nodeName}, task ${line.taskId}`}>
            {line.taskId.slice(0, 6)}@{line.nodeName}
          </span>
          <span
            className={`min-w-0 flex-1 break-all whitespace-pre-wrap ${line.stream === 'stderr' ? 'text-bad' : ''}`}
          >
            {line.stream === 'stderr' && <span className="sr-only">error output: </span>}
            {line.line}
          </span>
        </div>
      ))}
    </LogBox>
  )
}

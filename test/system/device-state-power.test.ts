import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { requireParts, startProgram, temporaryFolder, waitFor } from './lab/index.ts'
import { parseTrace, type TraceEvent, tracedCalls } from './registry-trace.testing.ts'

/**
 * Power may be lost at any moment. The agent is watched while it saves its state in folders that it makes: at every moment
 * what a name leads to is on the disk whole, and what it calls saved is found again.
 */
it('has the whole state on the disk before its name, and the name before it counts as saved', async () => {
  requireParts(['strace'])
  const folder = await temporaryFolder('state-power')
  onTestFinished(() => folder.remove())
  const path = join(folder.path, 'made', 'deep', 'state.json')
  const events = await watchSaves(path, join(folder.path, 'trace'))
  expect(events.filter(({ call, paths }) => isRename(call) && paths.at(-1) === path)).toHaveLength(3)
  expect(events.filter(({ call, paths }) => isRename(call) && paths.at(-1) === `${path}.previous`)).toHaveLength(2)
  expect(events.filter(isAnswer)).toHaveLength(3)
  expect(brokenOrders(events)).toEqual([])

  // The check itself misses none of them: without any one sync something is said.
  const syncs = events.filter(({ call }) => isSync(call))
  expect(syncs.length).toBeGreaterThanOrEqual(3 + 2 + 3 + 2)
  for (const sync of syncs) {
    expect(brokenOrders(events.filter((event) => event !== sync)).length, sync.paths[0]).toBeGreaterThan(0)
  }
})

const isSync = (call: string) => call === 'fsync' || call === 'fdatasync'
const isRename = (call: string) => call.startsWith('rename')
const isAnswer = ({ call, text }: TraceEvent) => call.startsWith('write') && text.includes('saved token')

/** As badly as POSIX allows: bytes and names count once they were synced. */
function brokenOrders(events: readonly TraceEvent[]): string[] {
  const isSynced = (path: string, after: TraceEvent, before: TraceEvent | undefined) =>
    events.some(
      ({ call, paths, beginsAt, endsAt }) =>
        isSync(call) && paths[0] === path && beginsAt > after.endsAt && (!before || endsAt < before.beginsAt),
    )
  const answerAfter = (event: TraceEvent) => events.find((other) => isAnswer(other) && other.beginsAt > event.endsAt)
  const broken: string[] = []
  for (const event of events) {
    const { call, paths } = event
    const name = paths.at(-1) ?? ''
    if (isRename(call)) {
      const [draft = ''] = paths
      const changes = events.filter(
        (other) => !isSync(other.call) && other.endsAt < event.beginsAt && other.text.includes(`<${draft}>`),
      )
      const last = changes.at(-1)
      if (last === undefined || !isSynced(draft, last, event)) broken.push(`${draft} is renamed before it is synced`)
    }
    if ((isRename(call) || call.startsWith('mkdir')) && !isSynced(dirname(name), event, answerAfter(event))) {
      broken.push(`${name} is relied on before its name is synced`)
    }
  }
  return broken
}

async function watchSaves(path: string, log: string): Promise<TraceEvent[]> {
  const fixture = join(import.meta.dirname, '../../packages/device-agent/src/state/power.fixture.ts')
  const calls = [...tracedCalls, 'copy_file_range', 'sendfile']
  const program = await startProgram([
    ...['strace', '-f', '-y', '-qq', '-s', '65536', '-e', `trace=${calls.join(',')}`, '-o', log],
    ...[process.execPath, fixture, path],
  ])
  try {
    await waitFor(() => program.ended(), { what: 'the states to be saved' })
    const inFolder = (event: TraceEvent) =>
      isAnswer(event) ||
      event.text.includes(dirname(dirname(dirname(path)))) ||
      event.paths.some((name) => name.startsWith(dirname(dirname(dirname(path)))))
    return parseTrace(await readFile(log, 'latin1')).filter(inFolder)
  } finally {
    await program.stop({ graceMs: 0 })
  }
}

/** What a process wrote to its disk and its sockets, in order, as `strace -f -y` tells it. */
export interface TraceEvent {
  call: string
  /** Of the file written to or synced, or of the names a call takes. */
  paths: string[]
  /** Bytes as strace shows them. */
  text: string
  /** The call begins at `beginsAt` and has an effect that may be relied on from `endsAt` on: lines of the trace. */
  beginsAt: number
  endsAt: number
}

export const tracedCalls = [
  ...['write', 'writev', 'pwrite64', 'pwritev', 'pwritev2', 'ftruncate', 'fsync', 'fdatasync'],
  ...['rename', 'renameat', 'renameat2', 'mkdir', 'mkdirat'],
]

/** Reads a trace; calls that failed are left out, since they changed nothing. */
export function parseTrace(text: string): TraceEvent[] {
  const events: TraceEvent[] = []
  const unfinished = new Map<string, { line: string; at: number }>()
  for (const [at, line] of text.split('\n').entries()) {
    const [, thread = '', rest = ''] = /^(\d+) +(.*)$/s.exec(line) ?? []
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/s.exec(rest)?.[1]
    if (rest.endsWith('<unfinished ...>')) {
      unfinished.set(thread, { line: rest.slice(0, -'<unfinished ...>'.length), at })
      continue
    }
    const began = resumed === undefined ? undefined : unfinished.get(thread)
    const event = eventOf(resumed === undefined ? rest : `${began?.line ?? ''}${resumed}`)
    if (event !== undefined) events.push({ ...event, beginsAt: began?.at ?? at, endsAt: at })
  }
  return events
}

function eventOf(line: string): Omit<TraceEvent, 'beginsAt' | 'endsAt'> | undefined {
  const match = /^(\w+)\((.*)\) += (-?\d+)/s.exec(line)
  if (match === null || Number(match[3]) < 0) return undefined
  const [, call = '', parameters = ''] = match
  const file = /^\d+<([^>]*)>/.exec(parameters)?.[1]
  const names = [...parameters.matchAll(/"((?:[^"\\]|\\.)*)"/gs)].map(([, name = '']) => name)
  const isNamed = call.startsWith('rename') || call.startsWith('mkdir')
  return { call, paths: isNamed ? names : file === undefined ? [] : [file], text: isNamed ? '' : parameters }
}

/**
 * What a loss of power could leave, decided at every line of the trace as badly as POSIX allows: bytes and names count
 * once they were synced, while a reference counts from the moment it begins to be written, and an answer from the
 * moment it begins to be sent. Answers one sentence for each digest that breaks the order; `digests` are hexadecimal.
 */
export function ordersBroken(
  events: readonly TraceEvent[],
  digests: readonly string[],
  isAnswer: (text: string) => boolean,
): string[] {
  return digests.flatMap((hex) => {
    const move = events.find(({ call, paths }) => call.startsWith('rename') && paths.at(-1)?.endsWith(`/${hex}`))
    const [upload = '', blob = ''] = move?.paths ?? []
    const reference = events.find(({ paths, text }) => paths[0]?.endsWith('.sqlite-wal') && text.includes(hex))
    const answer = events.find(
      ({ paths, text }) => paths[0]?.startsWith('socket:') && isAnswer(text) && text.includes(hex),
    )
    const unseen = Object.entries({ move, reference, answer }).filter(([, event]) => event === undefined)
    if (move === undefined || reference === undefined || answer === undefined) {
      return [`${hex} was not seen to be pushed: no ${unseen.map(([name]) => name).join(', no ')} in the trace`]
    }
    const synced = (path: string, after: number, before: number) =>
      events.some(
        ({ call, paths, beginsAt, endsAt }) =>
          ['fsync', 'fdatasync'].includes(call) && paths[0] === path && beginsAt > after && endsAt < before,
      )
    const lastWrite = events.findLast(({ call, paths }) => call.includes('write') && paths[0] === upload)
    const faults: string[] = []
    if (!synced(upload, lastWrite?.endsAt ?? -1, move.beginsAt)) faults.push('was named before its bytes were synced')
    if (!synced(folderOf(blob), move.endsAt, reference.beginsAt))
      faults.push('was referred to before its name was synced')
    for (const { paths, endsAt } of events.filter(({ call }) => call.startsWith('mkdir'))) {
      const made = paths.at(-1) ?? ''
      if (!blob.startsWith(`${made}/`) || endsAt > reference.beginsAt) continue
      if (!synced(folderOf(made), endsAt, reference.beginsAt)) {
        faults.push(`was referred to before the folder ${made} was synced`)
      }
    }
    if (!synced(reference.paths[0] ?? '', reference.endsAt, answer.beginsAt)) {
      faults.push('was acknowledged before its reference was synced')
    }
    return faults.map((fault) => `${hex} ${fault}`)
  })
}

function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'))
}

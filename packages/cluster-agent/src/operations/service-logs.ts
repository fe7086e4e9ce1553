import { FreeholdError, type LogLine } from '@freehold/contracts'
import type { Clock } from '@freehold/reconcile'
import type { Engine } from '../docker/engine.ts'
import { label } from '../swarm/labels.ts'
import type { OperationRunner } from './operations.ts'

const chunkLines = 200
const lineLengthLimit = 16 * 1024
const tailLimit = 10_000
const flushIntervalMs = 50
const searchIntervalMs = 2_000
const queuedLinesLimit = 2_000
/** Tasks whose last line is remembered; the engine itself forgets ended ones sooner. */
const rememberedTasks = 10_000
/** Lines of each task looked at for what is new since a stream ended or `tail` 0 was asked for. */
const rejoinTail = 100

type LogEngine = Pick<Engine, 'services' | 'nodes' | 'serviceLogs'>

/** Log lines of all revisions of a service that are present, from all nodes; only a manager can read them. */
export function createServiceLogs({
  engine,
  clock,
}: {
  engine: LogEngine
  clock: Clock
}): OperationRunner<'service-logs'> {
  return async (operation, send, signal) => {
    const source = createLogSource(engine)
    const tail = Math.min(operation.tail, tailLimit)
    const emit = async (lines: LogLine[]) => {
      for (let from = 0; from < lines.length; from += chunkLines) {
        signal.throwIfAborted()
        await send({ kind: 'service-logs', lines: lines.slice(from, from + chunkLines) })
      }
    }
    const ids = await source.servicesOf(operation.serviceId, signal)
    if (!operation.follow) {
      if (tail === 0) return
      const perService = await Promise.all(ids.map((id) => collect(source.lines(id, { tail, follow: false }, signal))))
      await emit(perService.flat().sort(byTime).slice(-tail))
      return
    }
    await follow({ source, serviceId: operation.serviceId, ids, tail, emit, clock }, signal)
  }
}

type LogSource = ReturnType<typeof createLogSource>

/** Streams of all revisions into one, lines of 50 ms sorted by time; revisions that come later join in. */
async function follow(
  options: {
    source: LogSource
    serviceId: string
    ids: string[]
    tail: number
    emit: (lines: LogLine[]) => Promise<void>
    clock: Clock
  },
  signal: AbortSignal,
): Promise<void> {
  const { source, clock } = options
  const following = new Set<string>()
  const toldUntil = new Map<string, string>()
  const remember = ({ taskId, at }: LogLine): void => {
    toldUntil.delete(taskId)
    toldUntil.set(taskId, at)
    const [oldest] = toldUntil.keys()
    if (toldUntil.size > rememberedTasks && oldest !== undefined) toldUntil.delete(oldest)
  }
  let queued: LogLine[] = []
  const join = async (id: string, kind: 'first' | 'again' | 'later'): Promise<void> => {
    following.add(id)
    try {
      if (kind === 'first' && options.tail === 0) {
        for await (const line of source.lines(id, { tail: 1, follow: false }, signal)) remember(line)
      }
      // Docker counts a tail for each task, also for one that begins later: with 0 the first words of that would be lost.
      const tail = kind === 'later' ? tailLimit : kind === 'first' && options.tail > 0 ? options.tail : rejoinTail
      const isNew = newerThan(new Map(toldUntil))
      for await (const line of source.lines(id, { tail, follow: true }, signal)) {
        if (!isNew(line)) continue
        remember(line)
        queued.push(line)
        // The engine is not read from while the network takes no more.
        while (queued.length >= queuedLinesLimit && !signal.aborted) await clock.sleep(flushIntervalMs, signal)
      }
    } catch {
      // The revision is gone or the engine is away; the search below joins again what is there.
    } finally {
      following.delete(id)
    }
  }
  const joined = new Set(options.ids)
  for (const id of options.ids) void join(id, 'first')
  let searchedAtMs = clock.now()
  while (!signal.aborted) {
    await clock.sleep(flushIntervalMs, signal)
    const lines = queued.sort(byTime)
    queued = []
    await options.emit(lines)
    if (clock.now() - searchedAtMs < searchIntervalMs) continue
    searchedAtMs = clock.now()
    const ids = await source.servicesOf(options.serviceId, signal).catch(() => [])
    for (const id of ids.filter((each) => !following.has(each))) {
      void join(id, joined.has(id) ? 'again' : 'later')
      joined.add(id)
    }
  }
}

/** Compares only times of one task with each other, so that no clock of another machine has a part in it. */
function newerThan(toldUntil: ReadonlyMap<string, string>): (line: LogLine) => boolean {
  return ({ taskId, at }) => at === '' || at > (toldUntil.get(taskId) ?? '')
}

/** Reads Docker's service logs as lines of the contract. */
function createLogSource(engine: LogEngine) {
  let hostnames = new Map<string, string>()
  return {
    servicesOf: async (serviceId: string, signal: AbortSignal): Promise<string[]> => {
      const [services, nodes] = await Promise.all([engine.services(signal), engine.nodes(signal)])
      hostnames = new Map(nodes.map((node) => [node.ID, node.Description.Hostname]))
      const found = services.filter(({ Spec }) => Spec.Labels[label.service] === serviceId)
      if (found.length === 0) {
        throw new FreeholdError('not-found', 'This service has no container yet, so there is no log.')
      }
      return found.map(({ ID }) => ID)
    },
    lines: async function* (
      id: string,
      options: { tail: number; follow: boolean },
      signal: AbortSignal,
    ): AsyncGenerator<LogLine> {
      for await (const { at, stream, taskId, nodeId, line } of engine.serviceLogs({ id, ...options }, signal)) {
        yield { at, stream, taskId, nodeName: hostnames.get(nodeId) ?? nodeId, line: line.slice(0, lineLengthLimit) }
      }
    },
  }
}

async function collect(lines: AsyncIterable<LogLine>): Promise<LogLine[]> {
  const all: LogLine[] = []
  for await (const line of lines) all.push(line)
  return all
}

function byTime(a: LogLine, b: LogLine): number {
  return a.at < b.at ? -1 : a.at > b.at ? 1 : 0
}

import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { LogLine } from '@freehold/contracts'
import { systemClock } from '@freehold/reconcile'
import { afterEach, expect, test } from 'vitest'
import type { Engine } from '../docker/engine.ts'
import type { EngineLogLine, SwarmService } from '../docker/types.ts'
import { label } from '../swarm/labels.ts'
import { createServiceLogs } from './service-logs.ts'

const serviceId = randomUUID()
const stopping: AbortController[] = []
afterEach(() => {
  for (const one of stopping.splice(0)) one.abort()
})

/**
 * An engine with one service that keeps to Docker's way with `tail`: it counts for each task by itself, also for one that
 * begins later. So with 0, what a task wrote before the engine listened to it never comes.
 */
function startEngine() {
  const tasks = new Map<string, EngineLogLine[]>()
  let count = 0
  let listeners = new Set<() => void>()
  let isCut = false
  const wake = () => {
    for (const listener of listeners) listener()
    listeners = new Set()
  }
  const engine: Pick<Engine, 'services' | 'nodes' | 'serviceLogs'> = {
    services: async () => [{ ID: 'web', Spec: { Labels: { [label.service]: serviceId } } } as unknown as SwarmService],
    nodes: async () => [],
    serviceLogs: async function* ({ tail, follow }, signal) {
      const told = new Map<string, number>()
      isCut = false
      signal.addEventListener('abort', wake)
      while (!signal.aborted && !isCut) {
        for (const [id, lines] of tasks) {
          const from = told.get(id) ?? Math.max(0, lines.length - tail)
          yield* lines.slice(from)
          told.set(id, lines.length)
        }
        if (!follow) return
        await new Promise<void>((resolve) => listeners.add(resolve))
      }
    },
  }
  return {
    engine,
    /** A task writes lines, all at once. */
    write(taskId: string, lines: string[]) {
      const written = lines.map((line) => {
        count += 1
        const at = `2026-01-01T00:00:00.${String(count).padStart(9, '0')}Z`
        return { at, stream: 'stdout' as const, taskId, nodeId: 'one', line }
      })
      tasks.set(taskId, [...(tasks.get(taskId) ?? []), ...written])
      wake()
    },
    isFollowed: () => listeners.size > 0,
    /** Ends every stream, as a restart of the engine does. */
    cut() {
      isCut = true
      wake()
    },
  }
}

function follow(engine: Pick<Engine, 'services' | 'nodes' | 'serviceLogs'>, tail: number): string[] {
  const heard: string[] = []
  const stop = new AbortController()
  stopping.push(stop)
  const send = async ({ lines }: { lines: LogLine[] }) => void heard.push(...lines.map(({ line }) => line))
  const operation = { kind: 'service-logs', serviceId, tail, follow: true } as const
  createServiceLogs({ engine, clock: systemClock })(operation, send, stop.signal).catch(() => undefined)
  return heard
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(10)
}

test('following from now on tells nothing old, and all that a short-lived container says', async () => {
  const { engine, write, isFollowed } = startEngine()
  write('old', ['before'])
  const heard = follow(engine, 0)
  await until(isFollowed)
  write('new', ['hello', 'and goodbye'])
  write('old', ['after'])
  await until(() => heard.includes('after'))
  expect(heard.toSorted()).toEqual(['after', 'and goodbye', 'hello'])
})

test('after the stream was cut, what was missed comes once and what was told does not come again', async () => {
  const { engine, write, cut } = startEngine()
  write('task', ['one', 'two', 'three'])
  const heard = follow(engine, 2)
  await until(() => heard.length === 2)
  cut()
  write('task', ['four'])
  await until(() => heard.includes('four'))
  write('task', ['five'])
  await until(() => heard.includes('five'))
  expect(heard).toEqual(['two', 'three', 'four', 'five'])
})

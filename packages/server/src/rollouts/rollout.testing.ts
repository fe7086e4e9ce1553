import { type Revision, type Rollout, type Service, serviceData, serviceKind, type Task } from '@freehold/contracts'
import { specOf } from '../services/index.ts'
import { advance, type RolloutView } from './kind.ts'
import { begun } from './status.ts'

export const startAt = Date.parse('2026-01-01T00:00:00.000Z')
const meta = { generation: 1, version: 1, labels: {}, createdAt: '', updatedAt: '' }

export function service(data: Record<string, unknown> = {}): Service {
  return {
    kind: 'service',
    id: '01900000-0000-7000-8000-000000000001',
    data: serviceData.parse({
      name: 'web',
      clusterId: '01900000-0000-7000-8000-0000000000aa',
      ports: { web: 80 },
      rollout: { strategy: 'auto', deadlineSeconds: 60, settleSeconds: 3 },
      ...data,
    }),
    status: serviceKind.initialStatus,
    ...meta,
  }
}

export function revision(of: Service, number: number): Revision {
  return {
    kind: 'revision',
    id: `01900000-0000-7000-8000-00000000010${number}`,
    data: {
      serviceId: of.id,
      number,
      spec: specOf(of, `registry/web@sha256:${number}`),
      imageVersion: 'latest',
      imageDigest: null,
      serviceGeneration: 1,
    },
    status: {},
    ...meta,
  }
}

export function rollout(
  of: Service,
  options: { next: Revision; previous: Revision | null; strategy?: 'beside' | 'recreate' },
): Rollout {
  return {
    kind: 'rollout',
    id: '01900000-0000-7000-8000-000000000200',
    data: {
      serviceId: of.id,
      clusterId: of.data.clusterId,
      revisionId: options.next.id,
      revisionNumber: options.next.data.number,
      previousRevisionId: options.previous?.id ?? null,
      supersededRevisionId: null,
      trigger: 'push',
      strategy: options.strategy ?? 'beside',
      deadlineSeconds: of.data.rollout.deadlineSeconds,
      settleSeconds: of.data.rollout.settleSeconds,
      abortRequested: false,
    },
    status: begun({ now: new Date(startAt), message: 'Begins.' }),
    ...meta,
  }
}

export function task(of: Revision, part: Partial<Task> = {}): Task {
  return {
    taskId: `${of.id}-1`,
    revisionId: of.id,
    swarmNodeId: 'node',
    nodeName: 'one',
    slot: 1,
    state: 'running',
    desiredState: 'running',
    message: '',
    exitCode: null,
    health: 'passing',
    healthMessage: '',
    since: '2026-01-01T00:00:00.000Z',
    logTail: [],
    ...part,
  }
}

/** Advances one rollout by hand: what is seen, and how long it was watched in this phase. */
export function step(
  of: Service,
  now: { rollout: Rollout; next: Revision; previous: Revision | null },
  seen: {
    tasks: Task[]
    connected?: boolean
    current?: boolean
    watchedMs?: number
    atMs?: number
    nodes?: number
    verdict?: RolloutView['verdict']
  },
): Rollout {
  const status = advance({
    rollout: now.rollout,
    service: of,
    revision: now.next,
    previous: now.previous,
    observation: {
      connected: seen.connected ?? true,
      current: seen.current ?? true,
      provenAtMs: startAt + (seen.atMs ?? 1000),
      tasks: seen.tasks,
      replicas: new Map([[now.next.id, seen.nodes ?? 1]]),
    },
    verdict: seen.verdict ?? null,
    watchedMs: seen.watchedMs ?? 0,
    now: new Date(startAt + (seen.atMs ?? 1000)),
  })
  return { ...now.rollout, status }
}

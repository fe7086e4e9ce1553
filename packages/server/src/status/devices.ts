import {
  buildKind,
  channelKind,
  deviceKind,
  hostnameOfBuild,
  releaseRolloutKind,
  type statusSchema,
} from '@freehold/contracts'
import type { Reads } from '@freehold/store'
import type { z } from 'zod'

type Problem = z.output<typeof statusSchema>['problems'][number]

const attentions = {
  approve: { severity: 'warning', one: 'device waits', many: 'devices wait', what: 'for an operator to approve it' },
  clone: { severity: 'error', one: 'device takes', many: 'devices take', what: 'turns with a copy of itself' },
  claim: { severity: 'warning', one: 'device was', many: 'devices were', what: 'claimed by someone without proof' },
  'update-failed': { severity: 'error', one: 'device could', many: 'devices could', what: 'not take a release' },
} as const

/** What a person should see to on devices: one problem for each cause, however many devices have it. */
export async function deviceProblems(reads: Reads): Promise<Problem[]> {
  const found = await Promise.all(
    Object.entries(attentions).map(async ([attention, { severity, one, many, what }]): Promise<Problem[]> => {
      const where = { attention }
      const devices = await reads.count(deviceKind, { where })
      if (devices === 0) return []
      const first = (await reads.list(deviceKind, { where, limit: 1 })).items[0]
      const message = `${devices} ${devices === 1 ? one : many} ${what}. \`freehold devices list --attention ${attention}\` shows ${devices === 1 ? 'it' : 'them'}.`
      const name = devices === 1 && first !== undefined ? first.data.name : attention
      return [{ severity, kind: 'device', id: devices === 1 ? (first?.id ?? null) : null, name, message }]
    }),
  )
  return found.flat()
}

const newsMs = 86_400_000

/** Builds that failed within the last day; older ones stand in their list, and need nobody any more. */
export async function buildProblems(
  reads: Reads,
  { nowMs, limit }: { nowMs: number; limit: number },
): Promise<Problem[]> {
  const { items } = await reads.list(buildKind, { where: { state: 'failed' }, order: 'changed', limit })
  return items.flatMap(({ id, data, status }): Problem[] => {
    if (status.endedAt === null || nowMs - Date.parse(status.endedAt) > newsMs) return []
    return [
      {
        severity: 'warning',
        kind: 'build',
        id,
        name: hostnameOfBuild({ id, hostname: data.hostname }),
        message: status.message,
      },
    ]
  })
}

/** Rollouts of releases that go no further without a person. */
export async function releaseRolloutProblems(reads: Reads, limit: number): Promise<Problem[]> {
  const [stopped, waiting] = await Promise.all([
    reads.list(releaseRolloutKind, { where: { state: 'stopped' }, limit }),
    reads.list(releaseRolloutKind, { where: { state: 'waiting-for-approval' }, limit }),
  ])
  return Promise.all(
    [...stopped.items, ...waiting.items].map(async ({ id, data, status }): Promise<Problem> => {
      const channel = await reads.get(channelKind, data.channelId)
      const severity = status.state === 'stopped' ? 'error' : 'warning'
      return { severity, kind: 'release-rollout', id, name: channel?.data.name ?? id, message: status.message }
    }),
  )
}

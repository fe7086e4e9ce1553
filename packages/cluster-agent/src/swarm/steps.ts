import type { WaitStep } from '@freehold/reconcile'
import type { ServiceSpec } from '../docker/types.ts'

/** What the agent can do to a Swarm: data, with one executor and one sentence each. */
export type Step = CreateNetwork | CreateService | UpdateService | RemoveService | WaitStep

export interface CreateNetwork {
  kind: 'create-network'
  name: string
  clusterId: string
}

export interface CreateService {
  kind: 'create-service'
  serviceId: string
  spec: ServiceSpec
  /** It existed before: somebody removed it. */
  again: boolean
}

export interface UpdateService {
  kind: 'update-service'
  serviceId: string
  swarmServiceId: string
  version: number
  /** The whole spec to write: the live one with our fields laid over it. */
  spec: ServiceSpec
  /** Replicas before; null where they stay (and in global mode). */
  replicasBefore: number | null
  /** Names of the fields that differ, and how; never their values. */
  differences: Difference[]
  /** Somebody else changed it since the agent last wrote it. */
  byHand: { spec: boolean; replicas: boolean }
}

export interface RemoveService {
  kind: 'remove-service'
  swarmServiceId: string
  name: string
  reason: string
}

export interface Difference {
  field: string
  change: 'added' | 'removed' | 'changed'
}

/** A sentence for people: log, dashboard, `plan` and report share it. */
export function describe(step: Step): string {
  switch (step.kind) {
    case 'create-network':
      return `Create the overlay network ${step.name}.`
    case 'create-service': {
      const replicas = step.spec.Mode.Global ? 'one on each node' : count(step.spec.Mode.Replicated?.Replicas ?? 0)
      const what = `${step.spec.Name} (${replicas}) from ${step.spec.TaskTemplate.ContainerSpec.Image}`
      return step.again ? `Put back the removed service ${what}.` : `Create service ${what}.`
    }
    case 'update-service': {
      const parts = [...step.differences.map(({ field, change }) => `set back ${field} (${change})`)]
      const replicas = step.spec.Mode.Replicated?.Replicas
      if (step.replicasBefore !== null && replicas !== undefined) {
        parts.unshift(`scale from ${step.replicasBefore} to ${count(replicas)}`)
      }
      if (parts.length === 0) parts.push('write its labels anew')
      return `Update service ${step.spec.Name}: ${parts.join(', ')}.`
    }
    case 'remove-service':
      return `Remove service ${step.name}: ${step.reason}.`
    case 'wait':
      return `Wait: ${step.reason}`
  }
}

/** What was found and done about it, for steps that mend what somebody else did; null for all others. */
export function driftOf(step: Step): { serviceId: string; found: string; mended: string } | null {
  if (step.kind === 'create-service' && step.again) {
    return {
      serviceId: step.serviceId,
      found: `Service ${step.spec.Name} was removed by hand.`,
      mended: 'It was created again.',
    }
  }
  if (step.kind !== 'update-service') return null
  const found: string[] = []
  if (step.byHand.spec) for (const { field, change } of step.differences) found.push(`${field} was ${change} by hand`)
  if (step.byHand.replicas && step.replicasBefore !== null) {
    found.push(`the number of replicas was changed to ${step.replicasBefore} by hand`)
  }
  if (found.length === 0) return null
  return {
    serviceId: step.serviceId,
    found: `In service ${step.spec.Name} ${found.slice(0, 10).join(', ')}.`,
    mended: 'It was set back to what is desired.',
  }
}

function count(replicas: number): string {
  return replicas === 1 ? '1 replica' : `${replicas} replicas`
}

import { createHash } from 'node:crypto'
import type { Workload } from '@freehold/contracts'
import type { ContainerSpec, Healthcheck, Mount, ServiceSpec } from '../docker/types.ts'
import { label, swarmServiceName } from './labels.ts'

const nanosPerSecond = 1_000_000_000
const bytesPerMebibyte = 1024 * 1024
/** To be raised whenever `fieldsOf` changes. */
const sealVersion = '1:'

/**
 * The Swarm service that runs a workload. Endpoint mode `dnsrr` and ports in host mode, because both work on kernels
 * without IPVS too; Docker's rolling updater has no part in it, since another revision is another Swarm service.
 */
export function wantedSpec(workload: Workload, context: { clusterId: string; networkId: string }): ServiceSpec {
  const { spec } = workload
  const limits = {
    ...(spec.cpuLimit === null ? {} : { NanoCPUs: Math.round(spec.cpuLimit * nanosPerSecond) }),
    ...(spec.memorySizeMB === null ? {} : { MemoryBytes: spec.memorySizeMB * bytesPerMebibyte }),
  }
  const wanted: ServiceSpec = {
    Name: swarmServiceName(workload),
    Labels: {
      [label.cluster]: context.clusterId,
      [label.service]: workload.serviceId,
      [label.revision]: workload.revisionId,
      [label.number]: String(workload.revisionNumber),
    },
    TaskTemplate: {
      ContainerSpec: containerSpec(workload, context.clusterId),
      Resources: Object.keys(limits).length > 0 ? { Limits: limits } : undefined,
      RestartPolicy: { Condition: 'any', Delay: 2 * nanosPerSecond, MaxAttempts: 0 },
      Placement:
        spec.mode === 'replicated' && spec.maxReplicasPerNode > 0
          ? { MaxReplicas: spec.maxReplicasPerNode }
          : undefined,
      Networks: [{ Target: context.networkId, Aliases: [workload.serviceName] }],
    },
    Mode: spec.mode === 'global' ? { Global: {} } : { Replicated: { Replicas: workload.replicas } },
    EndpointSpec: {
      Mode: 'dnsrr',
      Ports: spec.ports.map(({ target, published, protocol }) => ({
        Protocol: protocol,
        TargetPort: target,
        PublishedPort: published,
        PublishMode: 'host',
      })),
    },
  }
  return sealed(wanted)
}

/**
 * The live spec with our fields laid over it: what others set beside them stays. Without differences the task
 * template stays as it is to the letter, because Docker replaces the containers of any other.
 */
export function mergedSpec(live: ServiceSpec, wanted: ServiceSpec, options: { differs: boolean }): ServiceSpec {
  const labels = { ...live.Labels, ...wanted.Labels }
  if (!options.differs) return { ...live, Labels: labels, Mode: wanted.Mode }
  const { TaskTemplate: liveTask } = live
  const { TaskTemplate: task } = wanted
  return {
    ...live,
    ...wanted,
    Labels: labels,
    TaskTemplate: {
      ...liveTask,
      ...task,
      ContainerSpec: {
        ...liveTask.ContainerSpec,
        ...task.ContainerSpec,
        Labels: { ...liveTask.ContainerSpec.Labels, ...task.ContainerSpec.Labels },
      },
      Resources: { ...liveTask.Resources, Limits: task.Resources?.Limits ?? {} },
      Placement: { ...liveTask.Placement, MaxReplicas: task.Placement?.MaxReplicas ?? 0 },
    },
  }
}

/** Replicas a spec asks for; null in global mode, where the nodes decide. */
export function replicasOf(spec: ServiceSpec): number | null {
  return spec.Mode.Global ? null : (spec.Mode.Replicated?.Replicas ?? 1)
}

/** Whether somebody other than the agent wrote the spec, since the agent last did. */
export function changedByHand(live: ServiceSpec): { spec: boolean; replicas: boolean } {
  const replicas = replicasOf(live)
  const written = live.Labels[label.written]
  return {
    // A seal of another form is from an agent of another version, which cannot be compared.
    spec: written === undefined || (written.startsWith(sealVersion) && written !== fingerprint(live)),
    replicas: replicas !== null && live.Labels[label.replicas] !== String(replicas),
  }
}

/**
 * Every field the agent sets, by a name for people, as text that can be compared. Fields it does not set are absent,
 * so what others add beside them is no difference.
 */
export function fieldsOf(spec: ServiceSpec): Map<string, string> {
  const { TaskTemplate: task } = spec
  const container = task.ContainerSpec
  const fields = new Map<string, string>()
  const put = (name: string, value: unknown) => {
    if (value !== undefined && value !== null && value !== 0) fields.set(name, JSON.stringify(value))
  }
  put('the image', container.Image)
  put('the command', container.Command?.length ? container.Command : undefined)
  put("the command's arguments", container.Args?.length ? container.Args : undefined)
  for (const variable of container.Env ?? []) {
    const [name, ...value] = variable.split('=')
    put(`environment variable ${name}`, value.join('='))
  }
  for (const mount of container.Mounts ?? []) {
    put(`the volume at ${mount.Target}`, [mount.Type, mount.Source, mount.ReadOnly ?? false])
  }
  put('the stop grace period', container.StopGracePeriod)
  put('the health check', healthFields(container.Healthcheck))
  for (const name of [label.cluster, label.service, label.revision]) {
    put(`the container label ${name}`, container.Labels?.[name])
    put(`the label ${name}`, spec.Labels[name])
  }
  put('the CPU limit', task.Resources?.Limits?.NanoCPUs)
  put('the memory limit', task.Resources?.Limits?.MemoryBytes)
  put('the restart policy', [task.RestartPolicy?.Condition, task.RestartPolicy?.Delay, task.RestartPolicy?.MaxAttempts])
  put('the replicas allowed per node', task.Placement?.MaxReplicas)
  put('the networks', (task.Networks ?? []).map(({ Target, Aliases }) => [Target, [...(Aliases ?? [])].sort()]).sort())
  put('the mode', spec.Mode.Global ? 'global' : 'replicated')
  put('the endpoint mode', spec.EndpointSpec?.Mode)
  for (const port of spec.EndpointSpec?.Ports ?? []) {
    put(`published port ${port.PublishedPort}/${port.Protocol}`, [port.TargetPort, port.PublishMode])
  }
  return fields
}

/** Adds what lets a later look tell whether anybody else wrote to the service. */
function sealed(wanted: ServiceSpec): ServiceSpec {
  const replicas = replicasOf(wanted)
  return {
    ...wanted,
    Labels: {
      ...wanted.Labels,
      [label.replicas]: replicas === null ? 'global' : String(replicas),
      [label.written]: fingerprint(wanted),
    },
  }
}

function fingerprint(spec: ServiceSpec): string {
  const fields = [...fieldsOf(spec)].sort(([a], [b]) => (a < b ? -1 : 1))
  return sealVersion + createHash('sha256').update(JSON.stringify(fields)).digest('base64url').slice(0, 22)
}

function containerSpec(workload: Workload, clusterId: string): ContainerSpec {
  const { spec } = workload
  return {
    Image: spec.image,
    Labels: {
      [label.cluster]: clusterId,
      [label.service]: workload.serviceId,
      [label.revision]: workload.revisionId,
    },
    Command: spec.command ?? undefined,
    Args: undefined,
    Env: Object.entries(spec.environment)
      .map(([name, value]) => `${name}=${value}`)
      .sort(),
    Mounts: spec.volumes.map(
      ({ name, path, readOnly }): Mount => ({
        Type: 'volume',
        Source: name,
        Target: path,
        ReadOnly: readOnly,
        VolumeOptions: { Labels: { [label.cluster]: clusterId } },
      }),
    ),
    StopGracePeriod: spec.stopGraceSeconds * nanosPerSecond,
    Healthcheck: healthcheck(spec.healthCheck),
  }
}

/**
 * Only `command` is Docker's to ask; `http` and `tcp` are asked by the agents and replace what the image declares.
 * Failures within the start period do not count, so that the deadline of a rollout alone decides about slow starters.
 */
function healthcheck(check: Workload['spec']['healthCheck']): Healthcheck | undefined {
  if (check === null) return undefined
  if (check.type !== 'command') return { Test: ['NONE'] }
  return {
    Test: ['CMD', ...check.command],
    Interval: 2 * nanosPerSecond,
    Timeout: check.timeoutSeconds * nanosPerSecond,
    Retries: 3,
    StartPeriod: 3600 * nanosPerSecond,
  }
}

function healthFields(check: Healthcheck | null | undefined): unknown {
  if (!check?.Test?.length) return undefined
  return [check.Test, check.Interval ?? 0, check.Timeout ?? 0, check.Retries ?? 0, check.StartPeriod ?? 0]
}

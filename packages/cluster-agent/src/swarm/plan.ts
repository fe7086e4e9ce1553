import type { Desired, Workload } from '@freehold/contracts'
import type { SwarmService, SwarmTask } from '../docker/types.ts'
import { label, networkName, swarmServiceName } from './labels.ts'
import type { Observed } from './observe.ts'
import { changedByHand, fieldsOf, mergedSpec, replicasOf, wantedSpec } from './spec.ts'
import type { Difference, Step } from './steps.ts'

/**
 * The next steps from what is to what shall be. What always holds:
 *
 * 1. Equal states give no step.
 * 2. Only services that carry our cluster's label are updated or removed; a foreign one with a wanted name is waited
 *    for, and said.
 * 3. No step makes a workload run more replicas than desired.
 * 4. A workload with `startAfterRevisionId` gets no new replicas while a container of that revision may still run.
 * 5. Volumes are in no step at all.
 */
export function plan(desired: Desired, observed: Observed): Step[] {
  const wanted = new Map(desired.workloads.filter(isWanted).map((workload) => [swarmServiceName(workload), workload]))
  const removals = observed.services
    .filter((service) => isOurs(service, desired.clusterId) && !wanted.has(service.Spec.Name))
    .map((service) => removeStep(service, 'it is not desired any more'))
  const network = networkSteps(desired, observed, wanted.size > 0)
  if (network.networkId === null) return [...removals, ...network.steps]

  const context = { desired, observed, networkId: network.networkId }
  const steps = [...wanted.values()].map((workload) => workloadStep(workload, context)).filter((step) => step !== null)
  const order = (step: Step) => ['remove-service', 'update-service', 'create-service', 'wait'].indexOf(step.kind)
  return [...removals, ...steps.sort((a, b) => order(a) - order(b))]
}

/** Everything up to the end, on a model of the Swarm: for people who ask what would happen. Nothing is changed. */
export function planToTheEnd(desired: Desired, observed: Observed): Step[] {
  const model = structuredClone(observed)
  const all: Step[] = []
  for (let round = 0; round < 20; round++) {
    const steps = plan(desired, model)
    const doable = steps.filter((step) => step.kind !== 'wait')
    const seen = new Set(all.map((step) => JSON.stringify(step)))
    for (const step of steps) if (!seen.has(JSON.stringify(step))) all.push(step)
    if (doable.length === 0) return all
    for (const step of doable) applyToModel(model, step)
  }
  return all
}

interface Context {
  desired: Desired
  observed: Observed
  networkId: string
}

/** The one step a wanted workload needs next, or null where all is well. */
function workloadStep(workload: Workload, context: Context): Step | null {
  const { desired, observed, networkId } = context
  const wanted = wantedSpec(workload, { clusterId: desired.clusterId, networkId })
  const live = observed.services.find((service) => service.Spec.Name === wanted.Name)
  if (!live) {
    const blocked = startBlocked(workload, context)
    const again = observed.created.has(wanted.Name)
    return blocked ?? { kind: 'create-service', serviceId: workload.serviceId, spec: wanted, again }
  }
  if (!isOurs(live, desired.clusterId)) {
    return waitFor(
      `a service named ${wanted.Name} exists that this cluster's agent did not make. Remove or rename it, and ${workload.serviceName} will start.`,
    )
  }
  if (Boolean(live.Spec.Mode.Global) !== Boolean(wanted.Mode.Global)) {
    return removeStep(live, 'its mode is wrong and a Swarm cannot change it; it is made again')
  }
  const differences = differencesBetween(live.Spec, wanted)
  const [before, after] = [replicasOf(live.Spec), replicasOf(wanted)]
  const sealed = [label.replicas, label.written].every((name) => live.Spec.Labels[name] === wanted.Labels[name])
  if (differences.length === 0 && before === after && sealed) return null
  if ((after ?? 0) > (before ?? 0)) {
    const blocked = startBlocked(workload, context)
    if (blocked) return blocked
  }
  return {
    kind: 'update-service',
    serviceId: workload.serviceId,
    swarmServiceId: live.ID,
    version: live.Version.Index,
    spec: mergedSpec(live.Spec, wanted, { differs: differences.length > 0 }),
    replicasBefore: before === after ? null : before,
    differences,
    byHand: changedByHand(live.Spec),
  }
}

/**
 * Where two revisions may not run at once, the later one waits for the last container of the earlier, and of any other
 * revision of its service that is not desired: a rollout that was overtaken may have left one.
 */
function startBlocked(workload: Workload, { desired, observed }: Context): Step | null {
  const { startAfterRevisionId, serviceId } = workload
  if (startAfterRevisionId === null) return null
  const wanted = new Set(desired.workloads.map(({ revisionId }) => revisionId))
  const isInTheWay = (task: SwarmTask): boolean => {
    const revision = revisionOf(task)
    if (revision === startAfterRevisionId) return true
    return serviceOf(task) === serviceId && revision !== undefined && !wanted.has(revision)
  }
  const left = observed.tasks.filter((task) => isInTheWay(task) && mayRun(task, observed))
  if (left.length === 0) return null
  const before = left.length === 1 ? 'the last container' : `${left.length} containers`
  return waitFor(`${before} of the revision before must stop before ${swarmServiceName(workload)} may start.`)
}

/** A task that holds ports and volumes, or soon will. What a lost node runs is out of reach and on other hardware. */
function mayRun(task: SwarmTask, observed: Observed): boolean {
  if (finalTaskStates.has(task.Status.State)) return false
  const node = observed.nodes.find(({ ID }) => ID === task.NodeID)
  return node?.Status.State !== 'down'
}

/** Task states a task never leaves (Docker's documentation, "Swarm task states"). */
export const finalTaskStates = new Set(['complete', 'failed', 'shutdown', 'rejected', 'orphaned', 'remove'])

function serviceOf(task: SwarmTask): string | undefined {
  return task.Spec.ContainerSpec?.Labels?.[label.service]
}

export function revisionOf(task: SwarmTask): string | undefined {
  return task.Spec.ContainerSpec?.Labels?.[label.revision]
}

export function isOurs(service: SwarmService, clusterId: string): boolean {
  return service.Spec.Labels[label.cluster] === clusterId
}

/** In global mode there is no "zero": such a service is simply not there. */
function isWanted(workload: Workload): boolean {
  return workload.spec.mode !== 'global' || workload.replicas > 0
}

function networkSteps(
  desired: Desired,
  observed: Observed,
  needed: boolean,
): { networkId: string | null; steps: Step[] } {
  if (!needed) return { networkId: null, steps: [] }
  const network = observed.networks.find(({ Name, Scope }) => Name === networkName && Scope === 'swarm')
  if (!network) {
    return { networkId: null, steps: [{ kind: 'create-network', name: networkName, clusterId: desired.clusterId }] }
  }
  // A network that the agent of an earlier cluster left on this Swarm serves as well: nothing in it is ours to change.
  if (network.Labels?.[label.cluster] !== undefined && network.Attachable) return { networkId: network.Id, steps: [] }
  const reason = `a network named ${networkName} exists that no Freehold agent made. Remove or rename it, and the services will start.`
  return { networkId: null, steps: [waitFor(reason)] }
}

function differencesBetween(live: SwarmService['Spec'], wanted: SwarmService['Spec']): Difference[] {
  const [liveFields, wantedFields] = [fieldsOf(live), fieldsOf(wanted)]
  const differences: Difference[] = []
  for (const [field, value] of wantedFields) {
    const liveValue = liveFields.get(field)
    if (liveValue === undefined) differences.push({ field, change: 'removed' })
    else if (liveValue !== value) differences.push({ field, change: 'changed' })
  }
  for (const field of liveFields.keys()) if (!wantedFields.has(field)) differences.push({ field, change: 'added' })
  return differences
}

function removeStep(service: SwarmService, reason: string): Step {
  return { kind: 'remove-service', swarmServiceId: service.ID, name: service.Spec.Name, reason }
}

function waitFor(reason: string): Step {
  return { kind: 'wait', reason }
}

/** What a step comes to in the end, supposing that containers stop when they are told to. */
function applyToModel(model: Observed, step: Step): void {
  switch (step.kind) {
    case 'create-network': {
      const labels = { [label.cluster]: step.clusterId }
      model.networks.push({
        Id: 'new',
        Name: step.name,
        Driver: 'overlay',
        Scope: 'swarm',
        Attachable: true,
        Labels: labels,
      })
      return
    }
    case 'create-service':
      model.services.push({ ID: `new-${step.spec.Name}`, Version: { Index: 0 }, Spec: step.spec })
      return
    case 'update-service':
      for (const service of model.services) if (service.ID === step.swarmServiceId) service.Spec = step.spec
      if (replicasOf(step.spec) === 0) dropTasks(model, step.swarmServiceId)
      return
    case 'remove-service':
      model.services = model.services.filter(({ ID }) => ID !== step.swarmServiceId)
      model.created = new Set([...model.created].filter((name) => name !== step.name))
      dropTasks(model, step.swarmServiceId)
      return
    case 'wait':
      return
  }
}

function dropTasks(model: Observed, swarmServiceId: string): void {
  model.tasks = model.tasks.filter(({ ServiceID }) => ServiceID !== swarmServiceId)
}

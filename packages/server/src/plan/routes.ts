import { type Action, FreeholdError } from '@freehold/contracts'
import type { Store } from '@freehold/store'
import { type AgentHub, desiredOf } from '../agents/index.ts'
import { authorize } from '../http/authorize.ts'
import type { Handlers } from '../http/handler.ts'
import type { Sealer } from '../secrets/index.ts'
import type { ServiceRules } from '../services/index.ts'
import { documentsOf, type PlanChange } from './kind.ts'
import { applyPlan, askTags, type ClusterEnd, previewPlan, readCurrent } from './service.ts'

const agentLimitMs = 20_000
/** Applying documents takes no less than changing each by itself. */
const actionOf: Record<PlanChange['kind'], Action> = {
  cluster: 'clusters:write',
  'external-registry': 'external-registries:write',
  image: 'images:write',
  service: 'services:write',
}

const pluralOf: Record<PlanChange['kind'], string> = {
  cluster: 'clusters',
  'external-registry': 'external registries',
  image: 'images',
  service: 'services',
}

export function createPlanHandlers(options: {
  store: Store
  hub: Pick<AgentHub, 'request'>
  rules: ServiceRules
  sealer: Sealer
}): Handlers<'plan'> {
  const { store, hub, rules, sealer } = options
  return {
    async export() {
      const version = await store.version()
      return { documents: documentsOf(await readCurrent(store)), version }
    },
    async preview({ body, caller, signal }) {
      const { changes, version, ends } = await previewPlan(store, { ...body, actor: caller.actor, rules, sealer })
      const asked = ends.map((end) => askAgent(end, { hub, version, signal }))
      return { changes, version, clusters: await Promise.all(asked) }
    },
    async apply({ body, caller }) {
      await askTags(store, body.documents, rules)
      const changes = await applyPlan(store, {
        ...body,
        actor: caller.actor,
        rules,
        sealer,
        authorize: (kind) => authorize(caller, actionOf[kind], { noun: pluralOf[kind] }),
      })
      return { changes }
    },
  }
}

/** What the cluster's agent would do in the end; a sentence instead where it cannot be asked. */
async function askAgent(
  end: ClusterEnd,
  context: { hub: Pick<AgentHub, 'request'>; version: number; signal: AbortSignal },
): Promise<{ cluster: string; steps: string[]; problem: string | null }> {
  const { name, clusterId, workloads } = end
  if (end.isNew) return { cluster: name, steps: [], problem: 'This cluster is new; no agent can be asked yet.' }
  const desired = desiredOf({
    cluster: { id: clusterId, name },
    generation: context.version,
    workloads,
    registry: null,
    externalPulls: [],
  })
  const signal = AbortSignal.any([context.signal, AbortSignal.timeout(agentLimitMs)])
  try {
    const steps: string[] = []
    for await (const output of context.hub.request(clusterId, { kind: 'plan', desired }, { signal })) {
      if (output.kind === 'plan') steps.push(...output.steps)
    }
    const problem = signal.aborted ? 'Its agent did not answer in time.' : null
    return { cluster: name, steps, problem }
  } catch (error) {
    if (!(error instanceof FreeholdError)) throw error
    return { cluster: name, steps: [], problem: error.message }
  }
}

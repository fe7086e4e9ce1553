import type { Engine } from '../docker/engine.ts'
import type { EngineInfo } from '../docker/types.ts'
import type { Log } from '../log.ts'

/** What this machine is in its Swarm. */
export interface Membership {
  info: EngineInfo
  swarmId: string
  /** It is the manager that leads. */
  leads: boolean
  /** Why no Swarm can be worked with, for people; null where one can. */
  problem: string | null
}

/** Asks the engine, and makes a Swarm where there is none and that is wanted. */
export async function joinOrInit(
  options: { engine: Engine; log: Log; init: boolean; advertiseAddress: string },
  signal: AbortSignal,
): Promise<Membership> {
  const { engine, log, init, advertiseAddress } = options
  let info = await engine.info(signal)
  if (info.Swarm.LocalNodeState === 'inactive' && init) {
    log.warn(
      `This machine is in no Docker Swarm; making it a Swarm of its own, advertised as ${advertiseAddress}. (FREEHOLD_SWARM_INIT=off prevents this.)`,
    )
    await engine.initSwarm({ advertiseAddress }, signal)
    info = await engine.info(signal)
  }
  const problem = problemOf(info)
  const isManager = problem === null && info.Swarm.ControlAvailable
  const nodes = isManager ? await engine.nodes(signal) : []
  const leads = nodes.some((node) => node.ID === info.Swarm.NodeID && node.ManagerStatus?.Leader === true)
  return { info, swarmId: info.Swarm.Cluster?.ID ?? '', leads, problem }
}

function problemOf({ Swarm }: EngineInfo): string | null {
  switch (Swarm.LocalNodeState) {
    case 'active':
      return null
    case 'inactive':
      return 'This machine is in no Docker Swarm. Join it to one with `docker swarm join`, or set FREEHOLD_SWARM_INIT=on.'
    case 'locked':
      return 'The Swarm is locked. Unlock it on this machine with `docker swarm unlock`.'
    default:
      return `This machine's Swarm is not ready (${Swarm.LocalNodeState}): ${Swarm.Error || 'it is still joining'}.`
  }
}

import { arch, availableParallelism, hostname, release, totalmem, type } from 'node:os'
import type { NodeFacts } from '@freehold/contracts'
import type { EngineInfo } from './docker/types.ts'

/** What can be said of this machine without an engine. */
export function machineFacts(): NodeFacts {
  return {
    swarmNodeId: null,
    role: null,
    leader: false,
    hostname: hostname(),
    address: null,
    engineVersion: null,
    operatingSystem: `${type()} ${release()}`,
    architecture: arch(),
    cpuCores: availableParallelism(),
    memoryBytes: totalmem(),
  }
}

/** What the engine says of the machine. */
export function engineFacts(info: EngineInfo, { leader }: { leader: boolean }): NodeFacts {
  const { Swarm } = info
  const isMember = Swarm.LocalNodeState === 'active'
  return {
    swarmNodeId: Swarm.NodeID || null,
    role: isMember ? (Swarm.ControlAvailable ? 'manager' : 'worker') : null,
    leader,
    hostname: info.Name,
    address: Swarm.NodeAddr || null,
    engineVersion: info.ServerVersion,
    operatingSystem: info.OperatingSystem,
    architecture: info.Architecture,
    cpuCores: info.NCPU,
    memoryBytes: info.MemTotal,
  }
}

import { startDockerd } from '../../test/system/lab/index.ts'
import { startAgent, startControlPlane } from './control-plane.ts'
import { settledMemory } from './process-memory.ts'
import type { Part, Row } from './row.ts'

/** Idle memory of the control plane alone, and of an agent on an engine that runs nothing. */
export const memoryPart: Part = {
  name: 'memory',
  async run(): Promise<Row[]> {
    await using stack = new AsyncDisposableStack()
    const dockerd = await startDockerd({ swarm: true })
    stack.defer(() => dockerd.stop())
    const controlPlane = await startControlPlane()
    stack.defer(() => controlPlane.stop())
    const own = await settledMemory(controlPlane.program.pid)
    const agent = await startAgent(controlPlane, dockerd)
    stack.defer(() => agent.stop())
    const agents = await settledMemory(agent.program.pid)
    const note = 'PSS of all its processes, with a copy of Node that nothing else runs'
    return [
      { measure: 'control plane idle', unit: 'MB', ours: own, target: { of: 'ours', atMost: 150 }, note },
      { measure: 'agent idle', unit: 'MB', ours: agents, target: { of: 'ours', atMost: 60 }, note },
    ]
  },
}

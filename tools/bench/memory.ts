import { startDockerd } from '../../test/system/lab/index.ts'
import { startAgent, startControlPlane } from './control-plane.ts'
import { startDeviceAgent } from './device-agent.ts'
import { settledMemory } from './process-memory.ts'
import type { Part, Row } from './row.ts'

/**
 * Idle memory of the control plane, of an agent on an engine that runs nothing (beside it, and on a machine of its own), and
 * of a device agent over TLS.
 */
export const memoryPart: Part = {
  name: 'memory',
  async run(): Promise<Row[]> {
    await using stack = new AsyncDisposableStack()
    const controlPlane = await startControlPlane()
    stack.defer(() => controlPlane.stop())
    const own = await settledMemory(controlPlane.program.pid)
    const alone = await agentMemory('alone')
    const beside = await agentMemory('beside', controlPlane.node)
    const device = await deviceMemory()
    const note = 'PSS of all its processes'
    const most = (megabytes: number) => ({ of: 'ours' as const, atMost: megabytes })
    return [
      {
        measure: 'control plane idle',
        unit: 'MB',
        ours: own,
        target: most(150),
        note: `${note}; nothing else runs its Node`,
      },
      {
        measure: 'agent idle, beside it',
        unit: 'MB',
        ours: beside,
        target: most(60),
        note: `${note}; as \`npm start\` runs it, on the control plane's Node`,
      },
      {
        measure: 'agent idle, alone',
        unit: 'MB',
        ours: alone,
        target: most(60),
        note: `${note}; nothing else runs its Node, as on a machine of its own`,
      },
      {
        measure: 'device agent idle, alone, over TLS',
        unit: 'MB',
        ours: device,
        target: most(60),
        note: `${note}; nothing else runs its Node; Supervisor and local API configured, a heartbeat a minute`,
      },
    ]

    async function deviceMemory(): Promise<number> {
      await using agent = new AsyncDisposableStack()
      const running = await startDeviceAgent(controlPlane)
      agent.defer(() => running.stop())
      return await settledMemory(running.program.pid)
    }

    async function agentMemory(cluster: string, node?: string): Promise<number> {
      await using engine = new AsyncDisposableStack()
      const dockerd = await startDockerd({ swarm: true })
      engine.defer(() => dockerd.stop())
      const agent = await startAgent(controlPlane, dockerd, { cluster, ...(node === undefined ? {} : { node }) })
      engine.defer(() => agent.stop())
      return await settledMemory(agent.program.pid)
    }
  },
}

import { FreeholdError } from '@freehold/contracts'
import { systemClock, systemRandom } from '@freehold/reconcile'
import packageJson from '../package.json' with { type: 'json' }
import { createAgent } from './agent.ts'
import { readConfig } from './config.ts'
import { createEngineClient } from './docker/client.ts'
import { createWebSocketTransport } from './link/websocket.ts'
import { createLog, sentenceOf } from './log.ts'
import { machineFacts } from './node-facts.ts'
import { createProber } from './probes/prober.ts'
import { openAgentState } from './state/index.ts'

/** The agent as a process: configure, start, run until told to stop. Exit code 2: wrong settings; 1: refused. */
export async function run(): Promise<void> {
  try {
    const config = readConfig(process.env)
    const log = createLog((line) => process.stdout.write(line), { level: config.logLevel })
    const agent = createAgent({
      transport: createWebSocketTransport({ url: config.controlPlaneUrl }),
      engine: createEngineClient({ address: config.engineAddress }),
      prober: createProber(),
      state: await openAgentState(config.directory),
      clock: systemClock,
      random: systemRandom,
      log,
      agentVersion: packageJson.version,
      machine: machineFacts(),
      name: config.name,
      jumpCode: config.jumpCode,
      swarm: config.swarm,
    })
    await agent.start()
    log.info('The agent runs.', {
      controlPlane: config.controlPlaneUrl,
      engine: config.engineAddress,
      name: config.name,
    })
    try {
      await Promise.race([signalled(), agent.finished()])
    } finally {
      await agent.stop()
    }
  } catch (error) {
    const isSetting = error instanceof FreeholdError && error.code === 'invalid-input'
    process.stderr.write(`${sentenceOf(error)}\n`)
    process.exitCode = isSetting ? 2 : 1
  }
}

function signalled(): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGTERM', () => resolve())
    process.once('SIGINT', () => resolve())
    // A control plane that started us is gone when its channel is; listening must not keep us alive by itself.
    process.once('disconnect', () => resolve())
    process.channel?.unref()
  })
}

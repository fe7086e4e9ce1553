import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { startFakeControlPlane } from './control-plane/control-plane.testing.ts'
import type { Asked, DeviceDesiredState, DeviceStatus, HeartbeatAnswer, RunnerStatus } from './index.ts'
import { BaseRunner, CloudlyConnector, runCli, Secret, SupervisorClient } from './index.ts'
import { startFakeSupervisor } from './supervisor/supervisor.testing.ts'

test('a program that embeds the agent has its four parts, and the types of what they tell', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'freehold-device-embedded-'))
  const supervisor = await startFakeSupervisor({ lockDirectory: directory })
  const cloud = await startFakeControlPlane()
  const environment = {
    BASEOS_CLOUDLY_URL: cloud.url.href,
    BASEOS_JOIN_TOKEN: 'join-token-0123456789',
    BASEOS_STATE_PATH: join(directory, 'state.json'),
    BASEOS_LOCK_DIR: directory,
    BALENA_SUPERVISOR_ADDRESS: supervisor.url.href,
    BALENA_SUPERVISOR_API_KEY: supervisor.key,
    BASEOS_LOG_LEVEL: 'silent',
  }
  const runner = BaseRunner.fromEnv(environment)
  try {
    await runner.start()
    const status: RunnerStatus = await runner.status()
    const runtime: DeviceStatus = status.runtime
    expect(runtime.supervisor).toMatchObject({ state: 'available' })
    await expect.poll(() => cloud.nodes.size, { timeout: 20_000 }).toBe(1)

    const client = new SupervisorClient({ address: supervisor.url, key: new Secret(supervisor.key) })
    expect([await client.ping(), await client.version()]).toEqual([true, '19.0.5'])

    const connector = new CloudlyConnector({ url: cloud.url })
    const asked: Asked<HeartbeatAnswer> = await connector.heartbeat(
      {
        nodeId: 'nobody',
        bootId: 'first',
        sequence: 1,
        generation: 0,
        intervalMs: 60_000,
        rotateToken: false,
      } as never,
      new Secret('no-token-of-anyone'),
    )
    expect(asked.kind).toBe('unknown')
    const told = asked.kind === 'answered' ? (asked.answer.desiredState as DeviceDesiredState | null) : null
    expect(told).toBeNull()

    const written: string[] = []
    const write = (text: string) => void written.push(text)
    expect(await runCli(['check-supervisor'], { environment, write })).toBe(0)
    expect(JSON.parse(written.join(''))).toMatchObject({ apiKey: 'set', supervisor: { state: 'available' } })
  } finally {
    await runner.stop()
    await Promise.all([supervisor.stop(), cloud.stop()])
    await rm(directory, { recursive: true, force: true })
  }
})

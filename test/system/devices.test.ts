import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Client, createClient } from '@freehold/client'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  type Freehold,
  labAdministrator,
  type Service,
  startFreehold,
  startService,
  type TemporaryFolder,
  temporaryFolder,
  waitFor,
} from './lab/index.ts'

const entry = 'packages/device-agent/src/main.ts'

/** The real agent as a process of its own, and the control plane it enrols with. */
describe('a device', () => {
  let freehold: Freehold
  let client: Client
  let folder: TemporaryFolder
  let agent: Service | undefined

  beforeEach(async () => {
    freehold = await startFreehold()
    const { token } = await createClient({ url: freehold.url }).auth.login({ body: labAdministrator() })
    client = createClient({ url: freehold.url, token })
    folder = await temporaryFolder('device')
  })
  afterEach(async () => {
    await agent?.stop()
    await freehold.stop()
    await folder.remove()
  })

  const statePath = () => join(folder.path, 'state.json')
  const startAgent = async (joinToken: string) => {
    agent = await startService({
      entry,
      env: {
        BASEOS_CLOUDLY_URL: freehold.url,
        BASEOS_JOIN_TOKEN: joinToken,
        BASEOS_STATE_PATH: statePath(),
        BASEOS_HEARTBEAT_INTERVAL_MS: '1000',
      },
    })
    return agent
  }
  const devices = async () => (await client.devices.list({ query: {} })).items
  const stateIs = (state: string) =>
    waitFor(async () => (await devices())[0]?.status.state === state, {
      what: () => `the device to be ${state}\n${agent?.logs()}`,
    })

  test('enrols, is heard over restarts of both sides, and is shut out at one word, without a token in any log', async () => {
    const { joinToken } = await client.joinTokens.create({
      body: { data: { name: 'shop', deviceLabels: { site: 'lab' } } },
    })
    const running = await startAgent(joinToken)
    await stateIs('online')
    const [device] = await devices()
    if (device === undefined) throw new Error('There is no device.')
    expect(device.labels).toEqual({ site: 'lab' })
    const { report } = await client.devices.report({ params: { id: device.id } })
    expect(report?.machine?.memoryBytes).toBeGreaterThan(0)

    await running.kill9()
    await running.restart()
    await freehold.kill9()
    await freehold.restart()
    const before = device.status.lastHeartbeatAt ?? ''
    await waitFor(async () => ((await devices())[0]?.status.lastHeartbeatAt ?? '') > before, {
      what: () => `a heartbeat after both restarts\n${running.logs()}`,
    })
    expect(await devices()).toHaveLength(1)
    expect((await devices())[0]?.status.clone).toBeNull()

    await client.devices.revoke({ params: { id: device.id } })
    await waitFor(async () => running.logs().includes('revoked'), {
      what: () => `the agent to say so\n${running.logs()}`,
    })
    const state = readFileSync(statePath(), 'utf8')
    const tokens = [joinToken, ...(state.match(/fhn_[A-Za-z0-9_-]+/g) ?? [])]
    expect(tokens.length).toBeGreaterThan(1)
    for (const token of tokens) {
      expect(running.logs()).not.toContain(token)
      expect(freehold.logs()).not.toContain(token)
    }
  })

  test('waits for approval, and gets in when an operator says yes', async () => {
    await client.settings.update({ body: { baseosApproval: 'manual' } })
    const { joinToken } = await client.joinTokens.create({ body: { data: { name: 'shop' } } })
    const running = await startAgent(joinToken)
    await stateIs('waiting')
    const [device] = await devices()
    await client.devices.approve({ params: { id: device?.id ?? '' } })
    // It asks again by itself in half a minute; a restart asks at once.
    await running.restart()
    await stateIs('online')
  })
})

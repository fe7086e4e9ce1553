import { afterEach, beforeEach, expect, test } from 'vitest'
import { Secret } from '../../secret.ts'
import { SupervisorClient } from '../../supervisor/client.ts'
import { chooseAppDriver, createAppDriver, type HostOffers, lookAtHost } from './choose.ts'
import { manifestOf, publish, startWorld, type World } from './world.testing.ts'

let world: World
beforeEach(async () => {
  world = await startWorld()
})
afterEach(() => world.stop())

const look = (parts: Partial<Parameters<typeof lookAtHost>[0]> = {}) =>
  lookAtHost({ client: world.client, engine: world.engine, hasRegistry: true, ...parts })

test.each<[HostOffers, string, string]>([
  [{ supervisor: 'open', engine: 'there', hasRegistry: true }, 'supervisor', "This device's own"],
  [{ supervisor: 'open', engine: 'none', hasRegistry: true }, 'none', 'io.balena.features.balena-socket'],
  [{ supervisor: 'open', engine: 'away', hasRegistry: true }, 'wait', 'does not answer'],
  [{ supervisor: 'open', engine: 'there', hasRegistry: false }, 'none', 'BASEOS_CLOUDLY_URL'],
  [{ supervisor: 'owned', engine: 'there', hasRegistry: true }, 'app-update', 'Something else owns'],
  [{ supervisor: 'away', engine: 'there', hasRegistry: true }, 'wait', 'Supervisor does not answer'],
  [{ supervisor: 'none', engine: 'there', hasRegistry: true }, 'none', 'BALENA_SUPERVISOR_ADDRESS'],
])('%o: %s', (offers, name, sentence) => {
  expect(chooseAppDriver(offers)).toMatchObject({ name, message: expect.stringContaining(sentence) })
})

test('what a host offers is found out without changing anything', async () => {
  expect(await look()).toEqual({ supervisor: 'open', engine: 'there', hasRegistry: true })
  expect(await look({ client: null, engine: null })).toMatchObject({ supervisor: 'none', engine: 'none' })
  world.fakeEngine.isStuck = true
  expect(await look({ signal: AbortSignal.timeout(1_000) })).toMatchObject({ engine: 'away' })
  expect(world.supervisor.seen.every(({ call }) => call.startsWith('GET'))).toBe(true)
})

test('a device of a cloud is known by its closed door, whatever key the agent has', async () => {
  world.localMode.isOn = false
  const key = new Secret(world.supervisor.key)
  const client = new SupervisorClient({ address: world.supervisor.url, key })
  expect(await look({ client })).toMatchObject({ supervisor: 'owned' })
  world.supervisor.isAway = true
  expect(await look({ client })).toMatchObject({ supervisor: 'away' })
})

test('a release that is on trial stays with the driver that brought it; a host that offers nothing says why', async () => {
  let offers: HostOffers = { supervisor: 'open', engine: 'there', hasRegistry: true }
  const driver = createAppDriver({ look: async () => offers, drivers: [world.driver], memory: world.memory })
  const manifest = manifestOf({ id: 1 })
  publish(world.fakeEngine, manifest)
  const { signal } = world
  await driver.download(manifest, { signal, onProgress: () => undefined })
  await driver.apply(manifest, { force: false, signal })
  offers = { ...offers, supervisor: 'away' }
  expect(await driver.health(manifest, signal)).toMatchObject({ isHealthy: true })
  await driver.rollBack(signal)
  await expect(driver.health(manifest, signal)).rejects.toThrow('does not answer')
  offers = { ...offers, supervisor: 'none' }
  expect(await driver.unsupported(manifest, signal)).toContain('BALENA_SUPERVISOR_ADDRESS')
  expect(await driver.running(signal)).toBeNull()
})

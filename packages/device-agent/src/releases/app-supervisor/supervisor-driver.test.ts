import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { DriverLocked } from '../driver.ts'
import { localImage, ourAppId } from './names.ts'
import { agentApp, digestOf, manifestOf, publish, registry, startWorld, token, type World } from './world.testing.ts'

let world: World
afterEach(() => world.stop())

const messageOf = (failing: Promise<unknown>) =>
  failing.then(
    () => 'It did not fail.',
    (error: unknown) => String(error),
  )

test('a release is downloaded before anything changes, then run, and its containers are all there', async () => {
  world = await startWorld()
  const { driver, fakeEngine, signal } = world
  const services = ['web', 'worker'].map((name, index) => ({ name, digit: String(index + 1) }))
  const manifest = manifestOf({ id: 1, services })
  publish(fakeEngine, manifest)
  const percents: number[] = []
  expect(await driver.unsupported(manifest, signal)).toBeNull()
  await driver.download(manifest, { signal, onProgress: (percent) => percents.push(percent) })
  expect(percents).toEqual([...percents].sort((a, b) => a - b))
  expect(percents.at(-1)).toBe(100)
  expect(world.containers()).toEqual([])
  expect(await driver.running(signal)).toBeNull()

  expect(await driver.apply(manifest, { force: false, signal })).toBe('applied')
  expect(world.containers()).toEqual(['web running', 'worker running'])
  expect(await driver.running(signal)).toBe(manifest.releaseId)
  expect(await driver.health(manifest, signal)).toEqual({ isHealthy: true, message: 'All run.', log: '' })
  expect(fakeEngine.volumes).toEqual(new Set([`${ourAppId}_data`]))
})

test('a download goes on after a failure and takes nothing twice', async () => {
  world = await startWorld()
  const { driver, fakeEngine, signal } = world
  const manifest = manifestOf({
    id: 1,
    services: [
      { name: 'web', digit: '1' },
      { name: 'worker', digit: '2' },
    ],
  })
  publish(fakeEngine, manifest)
  const missing = `${registry}/kiosk/worker@${digestOf('2')}`
  const image = fakeEngine.registry.get(missing) ?? {}
  fakeEngine.registry.delete(missing)
  const download = () => driver.download(manifest, { signal, onProgress: () => undefined })
  expect(await messageOf(download())).toContain('manifest unknown')
  fakeEngine.registry.set(missing, image)
  await download()
  expect(fakeEngine.seen.filter((call) => call === 'POST /images/create')).toHaveLength(3)
  expect([...fakeEngine.images.values()].flatMap(({ tags }) => [...tags])).toEqual(
    expect.arrayContaining([localImage(digestOf('1')), localImage(digestOf('2'))]),
  )
})

test('what is not ours stays as it is, in the target state and as the same container', async () => {
  world = await startWorld({ apps: { '1': agentApp } })
  await world.settle()
  const before = structuredClone((world.localMode.told().local as { apps: Record<string, unknown> }).apps['1'])
  const { id } = world.containerOf('baserunner')
  await world.bring(manifestOf({ id: 1 }))
  await world.bring(manifestOf({ id: 2 }))
  await world.driver.rollBack(world.signal)
  await world.settle()
  const local = world.localMode.told().local as { apps: Record<string, unknown> }
  expect(local.apps['1']).toEqual(before)
  expect(world.containerOf('baserunner').id).toBe(id)
  expect(world.localMode.isOn).toBe(true)
})

test('where something of others cannot be handed back unchanged, the release is refused and nothing is set', async () => {
  world = await startWorld({ apps: { '1': agentApp } })
  const told = world.localMode.told()
  const local = told.local as { apps: Record<string, { services: { config: Record<string, unknown> }[] }> }
  const service = local.apps['1']?.services[0]
  if (service) service.config.gpuPartition = 3
  world.localMode.told = () => told
  expect(await world.driver.unsupported(manifestOf({ id: 1 }), world.signal)).toContain('"gpuPartition"')
  expect(await messageOf(world.bring(manifestOf({ id: 1 })))).toContain('baserunner of the application basement')
  expect(world.supervisor.seen.some(({ call }) => call.startsWith('POST'))).toBe(false)
})

test('an update lock holds it up, nothing is left behind, and force goes over it', async () => {
  world = await startWorld()
  await world.bring(manifestOf({ id: 1 }))
  await world.driver.commit(manifestOf({ id: 1 }), world.signal)
  world.containerOf('main').files.add('/tmp/balena/updates.lock')
  const locked = await world.bring(manifestOf({ id: 2 })).catch((error: unknown) => error)
  expect(locked).toBeInstanceOf(DriverLocked)
  expect(String(locked)).toContain('main')
  expect(await world.driver.running(world.signal)).toBe(manifestOf({ id: 1 }).releaseId)
  expect((await world.memory.load()).trial).toBeNull()

  expect(await world.bring(manifestOf({ id: 2 }), true)).toBe('applied')
  expect(await world.driver.running(world.signal)).toBe(manifestOf({ id: 2 }).releaseId)
})

test('a lock taken at the last moment is met by the Supervisor, and the old target state is put back', async () => {
  world = await startWorld()
  await world.bring(manifestOf({ id: 1 }))
  const set = world.localMode.set
  world.localMode.set = (body) => {
    world.containerOf('main').files.add('/tmp/balena/updates.lock')
    world.localMode.set = set
    return set(body)
  }
  expect(await world.bring(manifestOf({ id: 2 })).catch((error: unknown) => error)).toBeInstanceOf(DriverLocked)
  world.containerOf('main').files.clear()
  await world.settle()
  expect(await world.driver.running(world.signal)).toBe(manifestOf({ id: 1 }).releaseId)
  expect(world.containers()).toEqual(['main running'])
})

test('a release that restarts again and again is unhealthy, tells its last lines without secrets, and is left again', async () => {
  world = await startWorld()
  await world.bring(manifestOf({ id: 1 }))
  await world.driver.commit(manifestOf({ id: 1 }), world.signal)
  const broken = manifestOf({ id: 2 })
  publish(world.fakeEngine, broken, {
    exits: 3,
    log: `${'x'.repeat(9_000)}\r\nmy token is ${token}\r\nfatal\u0007: no`,
  })
  await world.bring(broken)
  const health = await world.driver.health(broken, world.signal)
  expect(health).toMatchObject({ isHealthy: false, message: 'main restarts again and again (it ended with 3).' })
  expect(health.log.length).toBeLessThanOrEqual(8_000)
  expect(health.log).toContain('main | my token is [redacted]\nmain | fatal : no')
  expect(health.log).not.toContain(token)

  expect(await world.driver.rollBack(world.signal)).toBe('returned')
  expect(await world.driver.running(world.signal)).toBe(manifestOf({ id: 1 }).releaseId)
  expect(world.containers()).toEqual(['main running'])
  expect(world.fakeEngine.volumes).toEqual(new Set([`${ourAppId}_data`]))
})

test('a first release that fails leaves no application behind', async () => {
  world = await startWorld()
  await world.bring(manifestOf({ id: 1 }))
  await world.driver.rollBack(world.signal)
  expect(await world.driver.running(world.signal)).toBeNull()
  expect(world.containers()).toEqual([])
  expect(await messageOf(world.driver.rollBack(world.signal))).toContain('nothing to return to')
})

test('a container that began anew in the soak is noticed, one after a restart of the device is not', async () => {
  world = await startWorld()
  const manifest = manifestOf({ id: 1 })
  await world.bring(manifest)
  expect(await world.driver.health(manifest, world.signal)).toMatchObject({ isHealthy: true })
  world.containerOf('main').startedAt = 'later'
  world.device.bootId = 'second'
  expect(await world.driver.health(manifest, world.signal)).toMatchObject({ isHealthy: true })
  world.containerOf('main').restartCount += 1
  expect(await world.driver.health(manifest, world.signal)).toMatchObject({
    isHealthy: false,
    message: 'main ended and was started again.',
  })
})

test('a job that shall end may end well, and not otherwise', async () => {
  world = await startWorld()
  const good = manifestOf({ id: 1, services: [{ name: 'job', digit: '1', restart: 'no' }] })
  publish(world.fakeEngine, good, { exits: 0 })
  await world.bring(good)
  expect(await world.driver.health(good, world.signal)).toMatchObject({ isHealthy: true })
  const bad = manifestOf({ id: 2, services: [{ name: 'job', digit: '2', restart: 'no' }] })
  publish(world.fakeEngine, bad, { exits: 1 })
  await world.bring(bad)
  expect(await world.driver.health(bad, world.signal)).toMatchObject({ isHealthy: false, message: 'job ended with 1.' })
})

test('images of the release before stay until the new one is to stay, and others are never touched', async () => {
  world = await startWorld()
  const [first, second] = [manifestOf({ id: 1 }), manifestOf({ id: 2 })]
  await world.bring(first)
  await world.driver.commit(first, world.signal)
  await world.bring(second)
  const names = () => [...world.fakeEngine.images.values()].flatMap(({ tags }) => [...tags]).sort()
  expect(names()).toContain(localImage(digestOf('1')))
  await world.driver.commit(second, world.signal)
  expect(names()).toEqual(['local_image_baserunner:latest', localImage(digestOf('2'))].sort())
  expect([...world.fakeEngine.images.values()].flatMap(({ digests }) => [...digests])).toEqual([
    `${registry}/kiosk/main@${digestOf('2')}`,
  ])
})

test('a service whose image did not change keeps its container', async () => {
  world = await startWorld()
  await world.bring(
    manifestOf({
      id: 1,
      services: [
        { name: 'web', digit: '1' },
        { name: 'store', digit: '5' },
      ],
    }),
  )
  const { id } = world.containerOf('store')
  const second = manifestOf({
    id: 2,
    services: [
      { name: 'web', digit: '2' },
      { name: 'store', digit: '5' },
    ],
  })
  await world.bring(second)
  expect(world.containerOf('store').id).toBe(id)
  expect(await world.driver.health(second, world.signal)).toMatchObject({ isHealthy: true })
})

test('an agent that restarted in the middle of a switch goes on with it and can still return', async () => {
  world = await startWorld()
  const [first, second] = [manifestOf({ id: 1 }), manifestOf({ id: 2 })]
  await world.bring(first)
  await world.driver.commit(first, world.signal)
  publish(world.fakeEngine, second)
  await world.driver.download(second, { signal: world.signal, onProgress: () => undefined })
  const power = new AbortController()
  const { advance } = world.localMode
  world.localMode.advance = async () => power.abort()
  expect(await messageOf(world.driver.apply(second, { force: false, signal: power.signal }))).toContain('aborted')
  world.localMode.advance = advance
  expect(await world.driver.apply(second, { force: false, signal: world.signal })).toBe('applied')
  expect(await world.driver.rollBack(world.signal)).toBe('returned')
  expect(await world.driver.running(world.signal)).toBe(first.releaseId)
})

test('a Supervisor that is away fails the switch with a sentence, and the memory of the old one stays for the next try', async () => {
  world = await startWorld()
  const [first, second] = [manifestOf({ id: 1 }), manifestOf({ id: 2 })]
  await world.bring(first)
  await world.driver.commit(first, world.signal)
  publish(world.fakeEngine, second)
  await world.driver.download(second, { signal: world.signal, onProgress: () => undefined })
  world.supervisor.isAway = true
  expect(await messageOf(world.driver.apply(second, { force: false, signal: world.signal }))).toContain(
    'cannot be asked',
  )
  world.supervisor.isAway = false
  expect(await world.driver.apply(second, { force: false, signal: world.signal })).toBe('applied')
  const path = join(world.folder, 'apps.json')
  expect((await stat(path)).mode & 0o777).toBe(0o600)
  expect(await readFile(path, 'utf8')).not.toContain(token)
  await world.driver.rollBack(world.signal)
  expect(await world.driver.running(world.signal)).toBe(first.releaseId)
})

test('a target state that the Supervisor refuses, and an image that went missing, change nothing', async () => {
  world = await startWorld()
  const manifest = manifestOf({ id: 1 })
  publish(world.fakeEngine, manifest)
  expect(await messageOf(world.driver.apply(manifest, { force: false, signal: world.signal }))).toContain('not here')
  world.localMode.set = () => 'Invalid target state.'
  expect(await messageOf(world.bring(manifest))).toContain('Invalid target state.')
  expect((await world.memory.load()).trial).toBeNull()
})

test('another target state set by somebody in the soak is said', async () => {
  world = await startWorld()
  const manifest = manifestOf({ id: 1 })
  await world.bring(manifest)
  world.localMode.set({ local: { name: 'x', config: { SUPERVISOR_LOCAL_MODE: '1' }, apps: {} } })
  expect(await world.driver.health(manifest, world.signal)).toMatchObject({
    isHealthy: false,
    message: expect.stringContaining('Another target state'),
  })
})

import { expect, test } from 'vitest'
import { DriverLocked, HostUpdateFailed, NoWayBack } from './driver.ts'
import { assigned, deviceOf, ids, minute } from './loop.testing.ts'
import { assignmentOf, createFakeMachine } from './plan.testing.ts'

test('a return that has to wait for a lock is asked for again and again, and uses up no try', async () => {
  const app = createFakeMachine({ running: ids.old, sick: new Set([ids.new]) })
  let isLocked = true
  app.onMoment = (call) => {
    if (call === 'roll back' && isLocked) throw new DriverLocked('A backup is under way.')
  }
  const device = await deviceOf({ app, assignment: assignmentOf({ app: assigned(ids.new) }) })
  await device.pass(60 * minute)
  expect(device.reported()).toMatchObject({ state: 'soaking', message: 'It is being left again. It is sick.' })
  expect(app.calls.filter((call) => call === 'roll back').length).toBeGreaterThan(20)
  isLocked = false
  await device.pass(minute)
  expect(device.reported()).toMatchObject({ state: 'rolled-back', message: 'It is sick.', log: 'last words' })
  expect(app.running).toBe(ids.old)
})

test('a release that can never be left again has failed, and is not called rolled back', async () => {
  const app = createFakeMachine({ running: ids.old, broken: new Set() })
  app.onMoment = (call) => {
    if (call.startsWith('apply')) throw new Error('The owner brought another release.')
    if (call === 'roll back') throw new NoWayBack('Its owner alone can bring back what was there.')
  }
  const device = await deviceOf({ app, assignment: assignmentOf({ app: assigned(ids.new) }) })
  await device.pass(minute)
  expect(device.reported()).toMatchObject({
    state: 'failed',
    message: 'The owner brought another release. Its owner alone can bring back what was there.',
  })
  expect(app.calls.filter((call) => call === 'roll back')).toHaveLength(1)
})

test('a power cut between the word that there is no way back and its record does not make a return of it', async () => {
  const app = createFakeMachine({ running: ids.old })
  app.onMoment = (call) => {
    if (call.startsWith('apply')) throw new Error('The owner brought another release.')
    if (call === 'roll back') throw new NoWayBack('Its owner alone can bring back what was there.')
  }
  const device = await deviceOf({ app, assignment: assignmentOf({ app: assigned(ids.new) }) })
  let cuts = 0
  device.disk.onSave = (when) => {
    if (when === 'after' || cuts > 0 || !app.calls.includes('roll back')) return
    cuts += 1
    device.agent?.die()
  }
  await device.pass(minute)
  expect([cuts, device.half()?.phase]).toEqual([1, 'rolling-back'])
  await device.cutPower()
  await device.pass(minute)
  expect(device.reported()).toMatchObject({ state: 'failed', message: expect.stringContaining('Its owner alone') })
  expect(app.calls.filter((call) => call === 'roll back')).toHaveLength(2)
})

test('the last lines of a program of the host that failed are reported with the release', async () => {
  const host = createFakeMachine({ running: ids.old })
  host.onMoment = (call) => {
    if (call.startsWith('apply')) throw new HostUpdateFailed('hostapp-update failed (1).', 'no space left on device')
  }
  const device = await deviceOf({ host, assignment: assignmentOf({ host: assigned(ids.host) }) })
  await device.pass(minute)
  expect(device.reported('host')).toMatchObject({
    state: 'rolled-back',
    message: 'hostapp-update failed (1).',
    log: 'no space left on device',
  })
})

test('whether a release may be taken is asked with the force of its rollout', async () => {
  const refused = await deviceOf({
    host: createFakeMachine({ running: ids.old, wantsForce: true }),
    assignment: assignmentOf({ host: assigned(ids.host) }),
  })
  await refused.pass(minute)
  expect(refused.reported('host')).toMatchObject({ state: 'not-supported', message: 'It is older than what runs.' })
  const forced = await deviceOf({
    host: createFakeMachine({ running: ids.old, wantsForce: true }),
    assignment: assignmentOf({ host: assigned(ids.host, { force: true }) }),
  })
  await forced.pass(2 * minute)
  expect(forced.reported('host')?.state).toBe('succeeded')
})

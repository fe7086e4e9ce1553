import fc from 'fast-check'
import { expect, test } from 'vitest'
import { assigned, deviceOf, ids, minute, PowerCut, phaseOfCall, second, startMs, uuid } from './loop.testing.ts'
import { assignmentOf, createFakeMachine } from './plan.testing.ts'

test('a release is downloaded, applied, watched for its soak, and has succeeded once the control plane answered', async () => {
  const app = createFakeMachine({ running: ids.old })
  const device = await deviceOf({ app, assignment: assignmentOf({ app: assigned(ids.new) }) })
  await device.clock.advance(5 * second)
  expect(app.calls).toEqual([`download ${ids.new}`, `apply ${ids.new}`])
  expect(device.half()?.phase).toBe('soaking')
  await device.clock.advance(10 * minute)
  expect(device.reported()).toMatchObject({ state: 'soaking', message: expect.stringContaining('has not answered') })
  device.agent?.releases.noteAnswer()
  await device.clock.advance(10 * second)
  expect(device.reported()).toMatchObject({ state: 'succeeded', releaseId: ids.new, attempt: 1, running: ids.new })
  expect(app.isCommitted).toBe(true)
})

test('that a download begins and how it ended is to be heard at once; what lies between, with what follows it', async () => {
  const app = createFakeMachine({ running: ids.old })
  const device = await deviceOf({ app, assignment: assignmentOf({ app: assigned(ids.new) }) })
  await device.pass(3 * minute)
  expect(device.reported()).toMatchObject({ state: 'succeeded' })
  expect(device.changes).toEqual(['soon', 'now', 'soon', 'soon', 'now'])
})

test('that a short soak has begun is to be heard at once, because its success waits for an answer', async () => {
  const app = createFakeMachine({ running: ids.old })
  const short = assigned(ids.new, { soakSeconds: 5 })
  const device = await deviceOf({ app, assignment: assignmentOf({ app: short }) })
  await device.pass(3 * minute)
  expect(device.changes).toEqual(['soon', 'now', 'soon', 'now', 'now'])
})

test.each([
  ['sick', 'rolled-back'],
  ['broken', 'failed'],
] as const)('a release that is %s is said to be so at once', async (how, state) => {
  const app = createFakeMachine({ running: ids.old, [how]: new Set([ids.new]) })
  const device = await deviceOf({ app, assignment: assignmentOf({ app: assigned(ids.new) }) })
  await device.pass(60 * minute)
  expect(device.reported()).toMatchObject({ state })
  expect(device.changes.at(-1)).toBe('now')
})

test('a release that is not well is left again within its soak, and is not tried again until its attempt changes', async () => {
  const app = createFakeMachine({ running: ids.old, sick: new Set([ids.new]) })
  const device = await deviceOf({ app, assignment: assignmentOf({ app: assigned(ids.new) }) })
  await device.pass(2 * minute)
  expect(device.reported()).toMatchObject({
    state: 'rolled-back',
    message: 'It is sick.',
    log: 'last words',
    running: ids.old,
  })
  const calls = app.calls.length
  await device.pass(60 * minute)
  await device.cutPower()
  await device.assign(assignmentOf({ counter: 2, app: assigned(ids.new, { held: false, soakSeconds: 31 }) }))
  await device.pass(60 * minute)
  expect(app.calls).toHaveLength(calls)
  app.sick.clear()
  await device.assign(assignmentOf({ counter: 3, app: assigned(ids.new, { attempt: 2 }) }))
  await device.pass(5 * minute)
  expect(device.reported()).toMatchObject({ state: 'succeeded', attempt: 2 })
})

test('a report never sets a phase beside what ran before it', async () => {
  const app = createFakeMachine({ running: ids.old, sick: new Set([ids.new]) })
  const device = await deviceOf({ app, assignment: assignmentOf({ app: assigned(ids.new) }) })
  await device.pass(2 * minute)
  expect(device.told.slice(-4)).toEqual([
    `applying, ${ids.old} runs`,
    `soaking, ${ids.new} runs`,
    `soaking, ${ids.new} runs`,
    `rolled-back, ${ids.old} runs`,
  ])
})

test('what fails before it was applied has failed after a few tries, and nothing that runs was touched', async () => {
  const app = createFakeMachine({ running: ids.old, broken: new Set([ids.new]) })
  const device = await deviceOf({ app, assignment: assignmentOf({ app: assigned(ids.new) }) })
  await device.pass(60 * minute)
  expect(device.reported()).toMatchObject({ state: 'failed', message: 'The image is gone.', running: ids.old })
  expect(app.calls).toEqual(Array(5).fill(`download ${ids.new}`))
})

test('an update lock is waited for, unless the release is forced', async () => {
  const app = createFakeMachine({ running: ids.old, isLocked: true })
  const device = await deviceOf({ app, assignment: assignmentOf({ app: assigned(ids.new) }) })
  await device.pass(10 * minute)
  expect(device.reported()).toMatchObject({ state: expect.stringMatching(/staged|downloading/), running: ids.old })
  await device.assign(assignmentOf({ counter: 2, app: assigned(ids.new, { force: true }) }))
  await device.pass(3 * minute)
  expect(device.half()?.phase).toBe('succeeded')
})

test('held, expired, or before the time is known nothing begins; what was begun goes on without a network', async () => {
  const app = createFakeMachine({ running: ids.old })
  const device = await deviceOf({ app, assignment: assignmentOf({ app: assigned(ids.new, { held: true }) }) })
  await device.pass(10 * minute)
  expect(device.reported()).toMatchObject({ state: 'staged', message: 'It is held.' })
  const expired = { expiresAt: new Date(startMs + minute).toISOString() }
  await device.assign(assignmentOf({ ...expired, counter: 2, app: assigned(ids.new) }))
  await device.pass(10 * minute)
  expect(device.reported()).toMatchObject({ message: expect.stringContaining('was good until') })
  device.isOnline = false
  await device.assign(assignmentOf({ counter: 3, app: assigned(ids.new) }))
  await device.pass(10 * minute)
  expect(device.reported()).toMatchObject({ message: expect.stringContaining('time is not known') })
  expect(app.calls).toEqual([])
  device.isOnline = true
  await device.pass(20 * second)
  expect(device.half()?.phase).toBe('soaking')
  device.isOnline = false
  app.sick.add(ids.new)
  await device.pass(5 * minute)
  expect(device.half()?.phase).toBe('rolled-back')
  expect(app.running).toBe(ids.old)
})

test('the host goes first, comes back from its restart, and only then does the app begin', async () => {
  const app = createFakeMachine({ running: ids.old })
  const host = createFakeMachine({ restarts: true })
  const assignment = assignmentOf({ app: assigned(ids.new), host: assigned(ids.host) })
  const device = await deviceOf({ app, host, assignment })
  await device.pass(minute)
  expect(device.half('host')).toMatchObject({ phase: 'applying', isRestarting: true })
  await device.cutPower()
  await device.pass(20 * second)
  expect(device.half('host')?.phase).toBe('soaking')
  expect(app.calls).toEqual([])
  await device.pass(2 * minute)
  expect(device.half('host')?.phase).toBe('succeeded')
  await device.pass(2 * minute)
  expect(device.half()?.phase).toBe('succeeded')
})

test('a host that comes back in the old system, or never reaches the control plane from the new one, is rolled back', async () => {
  const host = createFakeMachine({ restarts: true, running: ids.old })
  const device = await deviceOf({ host, assignment: assignmentOf({ host: assigned(ids.host) }) })
  await device.pass(minute)
  host.running = ids.old
  host.isCommitted = true
  await device.cutPower()
  await device.pass(minute)
  expect(device.reported('host')).toMatchObject({ state: 'rolled-back', message: expect.stringContaining('came back') })
  await device.assign(assignmentOf({ counter: 2, host: assigned(ids.host, { attempt: 2 }) }))
  await device.pass(minute)
  device.isOnline = false
  await device.cutPower()
  await device.pass(62 * minute)
  await device.cutPower()
  await device.pass(minute)
  expect(device.half('host')).toMatchObject({
    phase: 'rolled-back',
    message: expect.stringContaining('could not be reached'),
  })
  expect(host.running).toBe(ids.old)
})

test('what came of a step is kept though what runs cannot be told then: the device goes down, or the agent is stopped', async () => {
  const host = createFakeMachine({ restarts: true, running: ids.old })
  host.onMoment = (call) => {
    host.isDeaf ||= call === 'switched'
  }
  const falling = await deviceOf({ host, assignment: assignmentOf({ host: assigned(ids.host) }) })
  await falling.pass(10 * second)
  expect(falling.half('host')).toMatchObject({ phase: 'applying', isRestarting: true })
  Object.assign(host, { running: ids.old, isCommitted: true, isDeaf: false })
  await falling.cutPower()
  await falling.pass(minute)
  expect(falling.half('host')?.phase).toBe('rolled-back')
  expect(host.calls.filter((call) => call.startsWith('apply'))).toHaveLength(1)

  const app = createFakeMachine({ running: ids.old })
  app.onMoment = (call) => {
    app.isDeaf ||= call === 'switched'
  }
  const stopped = await deviceOf({ app, assignment: assignmentOf({ app: assigned(ids.new) }) })
  await stopped.pass(10 * second)
  expect(stopped.half()?.phase).toBe('applying')
  await stopped.agent?.releases.stop()
  expect(stopped.half()?.phase).toBe('soaking')
})

test('another release assigned while one is watched: that one is left first, and the newer one taken', async () => {
  const app = createFakeMachine({ running: ids.old })
  const device = await deviceOf({ app, assignment: assignmentOf({ app: assigned(ids.new, { soakSeconds: 3600 }) }) })
  await device.pass(minute)
  await device.assign(assignmentOf({ counter: 2, app: assigned(ids.newer) }))
  await device.pass(3 * minute)
  expect(app.calls).toContain('roll back')
  expect(device.reported()).toMatchObject({ releaseId: ids.newer, state: 'succeeded' })
  expect(app.before).toBe(ids.old)
})

test('a half without a driver says that it is not supported, and keeps the other half from nothing', async () => {
  const app = createFakeMachine()
  const device = await deviceOf({ app, assignment: assignmentOf({ app: assigned(ids.new), host: assigned(ids.host) }) })
  await device.pass(3 * minute)
  expect(device.reported('host')?.state).toBe('not-supported')
  expect(device.reported()?.state).toBe('succeeded')
})

test('an action is carried out once, whenever the power goes, and one that came too late not at all', async () => {
  const action = (id: string, expiresAt = '2030-01-05T00:00:00.000Z') =>
    ({ id, kind: 'reboot', force: false, expiresAt }) as const
  const late = action(uuid(11), '2030-01-01T00:00:00.000Z')
  const device = await deviceOf({ assignment: assignmentOf({ actions: [action(uuid(10)), late] }) })
  await device.pass(minute)
  expect(device.acted).toEqual([uuid(10)])
  await device.cutPower()
  await device.pass(minute)
  expect(device.acted).toEqual([uuid(10)])
  const status = device.agent?.releases.status().actions
  expect(status?.map((told) => told?.outcome)).toEqual(['done', 'expired'])
  // Cut off between "it is begun" on disk and the reboot, and after it: never a second time.
  device.disk.onSave = (when) => {
    if (when === 'after') throw new PowerCut('The power goes.')
  }
  await device.assign(assignmentOf({ counter: 2, actions: [action(uuid(12))] })).catch(() => undefined)
  device.disk.state = {
    ...device.disk.state,
    releases: { ...device.disk.state.releases, assignment: assignmentOf({ counter: 2, actions: [action(uuid(12))] }) },
  }
  await device.cutPower()
  await device.pass(minute)
  device.disk.onSave = () => undefined
  await device.cutPower()
  await device.pass(minute)
  expect(device.acted.filter((id) => id === uuid(12)).length).toBeLessThanOrEqual(1)
  expect(device.agent?.releases.status().actions.at(-1)).toMatchObject({ id: uuid(12), outcome: 'done' })
})

test('with the power going at any moments it comes to the same end: a good release runs, a bad one is left', async () => {
  const story = fc.record({
    cuts: fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 4 }),
    isSick: fc.boolean(),
    isHost: fc.boolean(),
  })
  await fc.assert(
    fc.asyncProperty(story, async ({ cuts, isSick, isHost }) => {
      const releaseId = isHost ? ids.host : ids.new
      const name = isHost ? 'host' : 'app'
      const machine = createFakeMachine({ running: ids.old, restarts: isHost })
      if (isSick) machine.sick.add(releaseId)
      const device = await deviceOf({ [name]: machine, assignment: assignmentOf({ [name]: assigned(releaseId) }) })
      const left = [...cuts]
      let moments = 0
      let isCut = false
      const moment = () => {
        moments += 1
        if (left[0] === undefined || moments < left[0]) return
        left.shift()
        moments = 0
        isCut = true
        device.agent?.die()
      }
      device.disk.onSave = moment
      const unannounced: string[] = []
      machine.onMoment = (call) => {
        const expected = phaseOfCall[call.split(' ')[0] ?? '']
        if (expected && device.half(name)?.phase !== expected) unannounced.push(call)
        moment()
      }
      for (let round = 0; round < 40; round += 1) {
        await device.pass(20 * second)
        const isRestarting = device.half(name)?.isRestarting === true
        if (isCut || isRestarting) await device.cutPower()
        isCut = false
      }
      // What is done is on disk before it begins.
      expect(unannounced).toEqual([])
      const phase = device.half(name)?.phase
      if (isSick) {
        expect([phase, machine.running]).toEqual(['rolled-back', ids.old])
      } else {
        // Interrupted at each try it may give up, but then it is where it was.
        if (phase === 'rolled-back') expect(machine.running).toBe(ids.old)
        else expect([phase, machine.running, machine.isCommitted]).toEqual(['succeeded', releaseId, true])
        if (cuts.length < 2) expect(phase).toBe('succeeded')
      }
      device.agent?.die()
    }),
    { numRuns: 300 },
  )
})

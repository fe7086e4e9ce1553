import { type ReleaseRollout, releaseRolloutInput } from '@freehold/contracts'
import { systemClock, systemRandom } from '@freehold/reconcile'
import { pino } from 'pino'
import { expect, it, vi } from 'vitest'
import { createReleaseRolloutsNoun } from './index.ts'
import { createBed } from './rollouts.testing.ts'

it('looks by itself when devices report, and tells what their assignments say', { timeout: 60_000 }, async () => {
  const bed = await createBed()
  const noun = createReleaseRolloutsNoun({
    store: bed.store,
    assignments: bed.assignments,
    reconsider: () => {},
    clock: systemClock,
    random: systemRandom,
    now: () => systemClock.now(),
    log: pino({ level: 'silent' }),
  })
  try {
    await noun.load()
    noun.start()
    const [device = ''] = await bed.devices(1)
    const releaseId = await bed.release('1.0.0')
    const window = { from: '22:00', to: '05:00', days: ['sat' as const] }
    const data = releaseRolloutInput.parse({ channelId: bed.channelId, releaseId, window, soakSeconds: 5 })
    const { id } = (await noun.handlers.releaseRollouts.create(bed.inputOf({ body: { data } }))) as ReleaseRollout
    expect(noun.rolloutOf(id)).toEqual({ window, soakSeconds: 5, force: false, held: false })
    expect(noun.isMember(device, bed.channelId)).toBe(true)
    const { attempt = 0 } = bed.assignments.of(device) ?? {}
    const said = { version: null, message: null, downloadProgress: null, running: null, log: null }
    noun.note({ deviceId: device, type: 'app', progress: { ...said, releaseId, attempt, state: 'succeeded' } })
    await vi.waitFor(async () => expect((await bed.read(id)).status.state).toBe('succeeded'), { timeout: 30_000 })
    expect(noun.isMember(device, bed.channelId)).toBe(false)
  } finally {
    await noun.stop()
    await bed.close()
  }
})

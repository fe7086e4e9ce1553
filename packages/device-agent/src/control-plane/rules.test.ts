import { deviceHeartbeatAnswerSchema, deviceRegisterAnswerSchema } from '@freehold/contracts'
import { createRandom } from '@freehold/reconcile'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createState, type DeviceState } from '../state/index.ts'
import { type HeartbeatAnswer, readHeartbeatAnswer, readRegisterAnswer } from './answers.ts'
import { retryAfterMs } from './connector.ts'
import {
  afterAccepted,
  afterHeartbeat,
  askedPauseMs,
  doubtAfterRefusal,
  heartbeatPauseMs,
  nextCall,
  wantsRotation,
} from './rules.ts'

const at = '2026-06-01T00:00:00.000Z'
const state: DeviceState = { ...createState(), nodeToken: 'token-b', previousNodeToken: 'token-a' }
const answer = (more: Partial<HeartbeatAnswer> = {}): HeartbeatAnswer => ({
  at,
  heartbeatIntervalMs: null,
  nodeToken: null,
  nodeTokenExpiresAt: null,
  generation: 0,
  desiredState: null,
  ...more,
})

test('a device uses its newest token, then the one before it, then registers with all the proof it has', () => {
  const joinToken = 'join'
  expect(nextCall({ state, joinToken, doubt: 'none' })).toMatchObject({ token: 'token-b', which: 'newest' })
  expect(doubtAfterRefusal(state, 'none')).toBe('newest')
  expect(nextCall({ state, joinToken, doubt: 'newest' })).toMatchObject({ token: 'token-a', which: 'previous' })
  expect(doubtAfterRefusal(state, 'newest')).toBe('all')
  expect(nextCall({ state, joinToken, doubt: 'all' })).toEqual({ kind: 'register', bearer: 'token-b', joinToken })
  expect(nextCall({ state: createState(), joinToken, doubt: 'none' })).toEqual({
    kind: 'register',
    bearer: 'join',
    joinToken,
  })
})

test('an offered token is kept beside the one that works until it has worked itself', () => {
  const offered = afterHeartbeat(state, 'token-b', answer({ nodeToken: 'token-c' }))
  expect(offered).toMatchObject({ nodeToken: 'token-c', previousNodeToken: 'token-b' })
  expect(afterHeartbeat(offered, 'token-c', answer())).toMatchObject({ nodeToken: 'token-c', previousNodeToken: null })
  expect(afterHeartbeat(offered, 'token-b', answer())).toMatchObject({ nodeToken: 'token-b', previousNodeToken: null })
})

test('an answer that brings nothing new changes nothing, so nothing is written', () => {
  const settled = { ...state, previousNodeToken: null, generation: 2, desiredState: { generation: 2 } }
  expect(afterHeartbeat(settled, 'token-b', answer({ generation: 2 }))).toBe(settled)
})

test('a desired state counts only with the generation the answer names, and goes when there is none any more', () => {
  const wish = afterHeartbeat(state, 'token-b', answer({ generation: 4, desiredState: { generation: 4, web: 1 } }))
  expect(wish).toMatchObject({ generation: 4, desiredState: { web: 1 } })
  // Asked for anew it has the same generation, and may hold another assignment.
  const anew = answer({ generation: 4, desiredState: { generation: 4, web: 2 } })
  expect(afterHeartbeat(wish, 'token-b', anew)).toMatchObject({ generation: 4, desiredState: { web: 2 } })
  expect(afterHeartbeat(afterHeartbeat(wish, 'token-b', anew), 'token-b', anew).desiredState).toMatchObject({ web: 2 })
  const torn = afterHeartbeat(wish, 'token-b', answer({ generation: 6, desiredState: { generation: 5 } }))
  expect(torn.generation).toBe(4)
  expect(afterHeartbeat(wish, 'token-b', answer())).toMatchObject({ generation: 0, desiredState: null })
})

test('whatever is offered and refused, the token that worked last is never lost', () => {
  const step = fc.record({ offer: fc.boolean(), lost: fc.boolean() })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      let made = 0
      let held = afterAccepted(createState(), {
        state: 'accepted',
        nodeId: 'n',
        nodeToken: 'token-0',
        nodeTokenExpiresAt: null,
        at,
        heartbeatIntervalMs: null,
      })
      // The server's side: its newest first, and those still good.
      let good = ['token-0']
      let doubt: 'none' | 'newest' | 'all' = 'none'
      for (const { offer, lost } of steps) {
        const call = nextCall({ state: held, joinToken: null, doubt })
        if (call.kind === 'register') throw new Error('It had to register anew.')
        if (!good.includes(call.token)) {
          doubt = doubtAfterRefusal(held, doubt)
          continue
        }
        const offered = offer ? `token-${++made}` : null
        // An offer that was never used may be replaced by the next one.
        good = offered ? [offered, call.token] : good.filter((token) => token === call.token)
        if (lost) continue
        held = afterHeartbeat(held, call.token, answer({ nodeToken: offered }))
        doubt = 'none'
      }
    }),
  )
})

test('a new token is asked for with a third of the life left, by the clock of the server', () => {
  const life = { expiresAtMs: 9_000, lifetimeMs: 9_000 }
  expect(wantsRotation(life, 5_999)).toBe(false)
  expect(wantsRotation(life, 6_001)).toBe(true)
  expect(wantsRotation(life, null)).toBe(false)
  expect(wantsRotation(null, 6_001)).toBe(false)
})

test('pauses are spread: a heartbeat a tenth around its interval, an asked pause never shorter than asked', () => {
  fc.assert(
    fc.property(fc.integer(), fc.integer({ min: 1_000, max: 86_400_000 }), (seed, ms) => {
      const random = createRandom(seed)
      const pause = heartbeatPauseMs(ms, random)
      expect(pause >= ms * 0.9 && pause <= ms * 1.1).toBe(true)
      const asked = askedPauseMs(ms, random)
      expect(asked >= ms && asked <= ms * 1.5).toBe(true)
    }),
  )
})

test('answers read by hand are those the schemas accept', () => {
  const accepted = { state: 'accepted', nodeId: 'n-1', nodeToken: 'token-0123', nodeTokenExpiresAt: at, at, extra: 1 }
  const waiting = {
    state: 'waiting',
    nodeId: 'n-1',
    message: 'Wait.',
    retryAfterSeconds: 5,
    at,
    heartbeatIntervalMs: 5000,
  }
  const refused = { state: 'refused', reason: 'known-node', message: 'No.', retryAfterSeconds: 60, at }
  for (const value of [accepted, waiting, refused]) {
    const { extra: _, ...told } = { extra: 1, ...value }
    expect(deviceRegisterAnswerSchema.safeParse(value).success).toBe(true)
    expect(readRegisterAnswer(value)).toMatchObject(told)
  }
  const heartbeat = { at, generation: 2, desiredState: { generation: 2, web: 1 }, nodeToken: 'token-0123' }
  expect(readHeartbeatAnswer(heartbeat)).toMatchObject(deviceHeartbeatAnswerSchema.parse(heartbeat))
  for (const wrong of [
    null,
    [],
    '',
    { ...accepted, nodeToken: 'two words' },
    { ...accepted, at: 'soon' },
    { state: 'x', at },
  ]) {
    expect(readRegisterAnswer(wrong)).toBeNull()
    expect(deviceRegisterAnswerSchema.safeParse(wrong).success).toBe(false)
  }
})

test('every answer the schemas accept is read, and no JSON at all is thrown at', () => {
  const field = fc.oneof(
    fc.jsonValue(),
    fc.constant(at),
    fc.constant('token-0123'),
    fc.nat(),
    fc.constant({ generation: 3 }),
  )
  const names = ['at', 'generation', 'heartbeatIntervalMs', 'nodeToken', 'nodeTokenExpiresAt', 'desiredState'] as const
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), fc.dictionary(fc.constantFrom(...names), field)), (value) => {
      const read = readHeartbeatAnswer(value)
      readRegisterAnswer(value)
      if (deviceHeartbeatAnswerSchema.safeParse(value).success) expect(read).not.toBeNull()
    }),
  )
})

test.each([
  ['120', undefined, 120_000],
  ['Mon, 01 Jun 2026 00:01:00 GMT', 'Mon, 01 Jun 2026 00:00:00 GMT', 60_000],
  ['99999999999', undefined, 86_400_000],
  ['soon', undefined, 0],
  [undefined, undefined, 0],
])('Retry-After %j at %j means %i ms', (header, date, expected) => {
  expect(retryAfterMs(header, date)).toBe(expected)
})

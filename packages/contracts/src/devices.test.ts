import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  deviceHeartbeatAnswerSchema,
  deviceHeartbeatRequestSchema,
  deviceRegisterAnswerSchema,
  deviceRegisterRequestSchema,
  deviceStatusSchema,
} from './devices.ts'

const nodeId = '0b1f2c1e-7d0e-4a9c-9a53-1f6a0d1c2b3a'

test('a heartbeat of nothing but an id is one, with everything it does not tell as null', () => {
  const parsed = deviceHeartbeatRequestSchema.parse({ nodeId })
  expect(parsed).toMatchObject({ protocol: 1, generation: 0, intervalMs: 60_000, rotateToken: false })
  expect(parsed.status).toEqual(deviceStatusSchema.parse({}))
  expect(parsed.status).toMatchObject({ agentVersion: null, machine: null, locks: [], problems: [] })
})

test('unknown fields are ignored, values of a wrong type count as null', () => {
  const parsed = deviceHeartbeatRequestSchema.parse({
    nodeId,
    invented: { deep: true },
    status: {
      agentVersion: 7,
      machine: { memoryBytes: '1024', cpuCores: 4, addresses: 'none', later: 1 },
      apps: { containers: [null, { serviceName: 'web', status: ['running'] }] },
      device: 'broken',
    },
  })
  expect(parsed).not.toHaveProperty('invented')
  expect(parsed.status).toMatchObject({
    agentVersion: null,
    machine: { memoryBytes: null, cpuCores: 4, addresses: [] },
    apps: { containers: [null, { serviceName: 'web', status: null }] },
    device: null,
  })
  expect(parsed.status.machine).not.toHaveProperty('later')
})

test('texts and lists above their bound are refused', () => {
  const refused = (status: unknown) => deviceHeartbeatRequestSchema.safeParse({ nodeId, status }).success
  expect(refused({ hostname: 'a'.repeat(254) })).toBe(false)
  expect(refused({ problems: Array(17).fill('a') })).toBe(false)
  expect(refused({ apps: { containers: Array(65).fill({}) } })).toBe(false)
  expect(refused({ hostname: 'a'.repeat(253) })).toBe(true)
})

test.each(['', ' ', '../../etc', 'a b', 'a'.repeat(129), 7, null])('%j is no node id', (wrong) => {
  expect(deviceHeartbeatRequestSchema.safeParse({ nodeId: wrong }).success).toBe(false)
})

test('no control character or lone surrogate gets through a text', () => {
  const parsed = deviceStatusSchema.parse({ hostname: 'a\0b\u001b[2J\ud800', problems: ['line\nline'] })
  expect(parsed.hostname).toBe('a b [2J\ufffd')
  expect(parsed.problems).toEqual(['line line'])
})

test('whatever JSON comes as a status is read or refused, never thrown at, and reads the same a second time', () => {
  fc.assert(
    fc.property(
      fc.jsonValue(),
      fc.dictionary(fc.constantFrom('machine', 'apps', 'device', 'locks'), fc.jsonValue()),
      (any, some) => {
        for (const status of [any, some]) {
          const parsed = deviceHeartbeatRequestSchema.safeParse({ nodeId, status })
          if (parsed.success) expect(deviceHeartbeatRequestSchema.parse(parsed.data)).toEqual(parsed.data)
        }
      },
    ),
  )
})

test('a registration carries its tokens in the body or leaves them out', () => {
  expect(deviceRegisterRequestSchema.safeParse({ nodeId }).success).toBe(true)
  expect(deviceRegisterRequestSchema.safeParse({ nodeId, joinToken: 'fhd_0123456789', status: {} }).success).toBe(true)
  expect(deviceRegisterRequestSchema.safeParse({ nodeId, joinToken: 'two words' }).success).toBe(false)
})

test('an answer is one of three states; a heartbeat answer without a wish has none', () => {
  const at = '2026-01-01T00:00:00.000Z'
  const accepted = { state: 'accepted', nodeId, nodeToken: 'fhn_0123456789', at }
  expect(deviceRegisterAnswerSchema.safeParse(accepted).success).toBe(true)
  expect(deviceRegisterAnswerSchema.safeParse({ ...accepted, state: 'maybe' }).success).toBe(false)
  expect(deviceHeartbeatAnswerSchema.parse({ at, generation: 0 })).toEqual({ at, generation: 0 })
  expect(
    deviceHeartbeatAnswerSchema.parse({ at, generation: 3, desiredState: { generation: 3, later: 1 } }),
  ).toMatchObject({
    desiredState: { generation: 3, later: 1 },
  })
})

test('the log of a release keeps its lines, and nothing else that a terminal would obey', () => {
  const parsed = deviceStatusSchema.parse({ releases: { app: { log: 'one\ntwo\tthree\u001b[2J\r\ud800' } } })
  expect(parsed.releases?.app?.log).toBe('one\ntwo\tthree [2J \ufffd')
})

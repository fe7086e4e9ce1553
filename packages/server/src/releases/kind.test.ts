import type { Channel, DeviceGroup, Release } from '@freehold/contracts'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  checkRelease,
  compareVersions,
  groupOf,
  inOrder,
  type KeptAssignment,
  releaseToJoin,
  resolveRelease,
  selects,
} from './kind.ts'

const labels = fc.dictionary(fc.constantFrom('site', 'ring', 'toString', '__proto__'), fc.constantFrom('a', 'b', ''))
const id = fc.option(fc.constantFrom('r1', 'r2', 'r3'))
const groups = fc.uniqueArray(
  fc
    .record({
      name: fc.constantFrom('alpha', 'beta', 'gamma', 'delta', 'epsilon'),
      selector: labels,
      priority: fc.integer({ min: 0, max: 3 }),
      appChannelId: fc.option(fc.constantFrom('c1', 'c2')),
      hostChannelId: fc.option(fc.constantFrom('c3')),
      pinnedAppReleaseId: id,
      pinnedHostReleaseId: id,
    })
    .map((data) => ({ id: data.name, data }) as unknown as DeviceGroup),
  { selector: (group) => group.id },
)

describe('a device group', () => {
  it('selects the devices that have all of its labels', () => {
    fc.assert(
      fc.property(labels, labels, (selector, own) => {
        const all = Object.entries(selector).every(([key, value]) => new Map(Object.entries(own)).get(key) === value)
        expect(selects(selector, own)).toBe(all)
        expect(selects(selector, { ...own, ...selector })).toBe(true)
        expect(selects({}, own)).toBe(true)
      }),
    )
  })

  it('has a device where no other that selects it has a smaller priority, or the same and an earlier name', () => {
    fc.assert(
      fc.property(groups, labels, (all, own) => {
        const found = groupOf(inOrder(all), own)
        const selecting = all.filter(({ data }) => selects(data.selector, own))
        expect(found === undefined).toBe(selecting.length === 0)
        for (const { data } of selecting) {
          const isBefore = data.priority < (found?.data.priority ?? -1)
          const isNamedBefore = data.priority === found?.data.priority && data.name < found.data.name
          expect(isBefore || isNamedBefore).toBe(false)
        }
      }),
    )
  })

  it('does not depend on the order in which groups were made', () => {
    fc.assert(
      fc.property(groups, labels, (all, own) => {
        expect(groupOf(inOrder(all.toReversed()), own)?.id).toBe(groupOf(inOrder(all), own)?.id)
      }),
    )
  })
})

describe('what a device shall run', () => {
  const assigned = fc.option(
    fc.record({ releaseId: id, rolloutId: fc.option(fc.constant('x')), attempt: fc.nat(3), at: fc.constant('') }),
    { nil: undefined },
  )
  const device = fc.record({ pinnedAppReleaseId: id, pinnedHostReleaseId: id })

  it('is what its own pin says, else the pin of its group, else what it was assigned while it follows a channel', () => {
    fc.assert(
      fc.property(groups, device, assigned, (all, pins, stored) => {
        const [group] = all
        const resolved = resolveRelease({ type: 'app', device: pins, group, assigned: stored })
        const groupPin = group?.data.pinnedAppReleaseId ?? null
        const own = group?.data.appChannelId ? (stored?.releaseId ?? null) : null
        expect(resolved?.releaseId ?? null).toBe(pins.pinnedAppReleaseId ?? groupPin ?? own)
        const isByRollout = stored?.rolloutId != null
        const by =
          pins.pinnedAppReleaseId !== null
            ? 'device-pin'
            : groupPin !== null
              ? 'group-pin'
              : isByRollout
                ? 'rollout'
                : 'channel'
        if (resolved !== null) expect(resolved.by).toBe(by)
        if (resolved?.by !== 'rollout') expect(resolved?.rolloutId ?? null).toBeNull()
      }),
    )
  })

  it('of one half is never decided by pins and channels of the other', () => {
    fc.assert(
      fc.property(groups, device, assigned, (all, pins, stored) => {
        const [group] = all
        const without = group && {
          ...group,
          data: { ...group.data, pinnedHostReleaseId: null, hostChannelId: null },
        }
        const one = resolveRelease({ type: 'app', device: pins, group, assigned: stored })
        const other = resolveRelease({
          type: 'app',
          device: { ...pins, pinnedHostReleaseId: null },
          group: without,
          assigned: stored,
        })
        expect(one).toEqual(other)
      }),
    )
  })
})

describe('a device that joins a channel', () => {
  const channel = (releaseId: string | null, since: string | null) =>
    ({ id: 'c1', status: { releaseId, since, rolloutId: null } }) as unknown as Channel
  const moment = fc.integer({ min: 0, max: 9 }).map((second) => `2026-03-01T00:00:0${second}.000Z`)
  const kept = fc.option(
    fc.record({
      releaseId: id,
      rolloutId: fc.option(fc.constant('x')),
      attempt: fc.nat(3),
      at: moment,
      channelId: fc.option(fc.constantFrom('c1', 'c2')),
    }),
    { nil: undefined },
  )

  it('gets the release the channel has, once, and never while it is a member of an open rollout', () => {
    fc.assert(
      fc.property(kept, id, fc.option(moment), fc.boolean(), (assigned, releaseId, since, isMember) => {
        const joins = releaseToJoin({ channel: channel(releaseId, since), assigned, isMember })
        if (isMember) expect(joins).toBeNull()
        expect([null, releaseId]).toContain(joins)
        if (joins === null) return
        const after: KeptAssignment = {
          releaseId: joins,
          rolloutId: null,
          attempt: 0,
          at: '2026-03-01T00:01:00.000Z',
          channelId: 'c1',
        }
        expect(releaseToJoin({ channel: channel(releaseId, since), assigned: after, isMember })).toBeNull()
      }),
    )
  })

  const base = { rolloutId: 'x', attempt: 1, at: '2026-03-01T00:00:05.000Z' }
  it.each([
    ['has nothing yet', undefined, 'r1'],
    ['had it taken back', { ...base, releaseId: null, channelId: 'c1' }, 'r1'],
    ['comes from another channel', { ...base, releaseId: 'r2', channelId: 'c2' }, 'r1'],
    [
      'missed what the channel changed to',
      { ...base, releaseId: 'r2', channelId: 'c1', at: '2026-03-01T00:00:01.000Z' },
      'r1',
    ],
    ['keeps the release of an aborted rollout', { ...base, releaseId: 'r2', channelId: 'c1' }, null],
    ['got something of which no channel is known', { ...base, releaseId: 'r2', channelId: null }, null],
    ['has it already', { ...base, releaseId: 'r1', channelId: 'c2' }, null],
  ])('that %s', (_, assigned: KeptAssignment | undefined, expected) => {
    expect(releaseToJoin({ channel: channel('r1', '2026-03-01T00:00:03.000Z'), assigned, isMember: false })).toBe(
      expected,
    )
  })
})

describe('versions', () => {
  const version = fc
    .tuple(
      fc.array(fc.bigInt({ min: 0n, max: 10n ** 20n }), { minLength: 3, maxLength: 3 }),
      fc.array(fc.oneof(fc.nat(12).map(String), fc.constantFrom('alpha', 'beta', 'rc', 'x-1')), { maxLength: 3 }),
    )
    .map(([numbers, before]) => numbers.join('.') + (before.length === 0 ? '' : `-${before.join('.')}`))

  it('have one order: total, the same both ways, and passed on', () => {
    fc.assert(
      fc.property(version, version, version, (a, b, c) => {
        expect(Math.sign(compareVersions(a, b))).toBe(-Math.sign(compareVersions(b, a)) + 0)
        expect(compareVersions(a, b) === 0).toBe(a === b)
        if (compareVersions(a, b) < 0 && compareVersions(b, c) < 0) expect(compareVersions(a, c)).toBeLessThan(0)
      }),
    )
  })

  it('are in the order of the specification', () => {
    const order = [
      '1.0.0-alpha',
      '1.0.0-alpha.1',
      '1.0.0-alpha.beta',
      '1.0.0-beta',
      '1.0.0-beta.2',
      '1.0.0-beta.11',
      '1.0.0-rc.1',
      '1.0.0',
      '1.9.0',
      '1.10.0',
      '2.0.0',
    ]
    expect(order.toReversed().toSorted(compareVersions)).toEqual(order)
  })
})

describe('a release', () => {
  const image = { repository: 'shop/web', digest: `sha256:${'a'.repeat(64)}` }
  const service = {
    name: 'web',
    image,
    environment: {},
    command: null,
    ports: [],
    volumes: [],
    restart: 'always',
    network: 'bridge',
    privileged: false,
    labels: {},
  } as const
  const host = { deviceType: 'rpi', hostapp: image, baserunner: null, minimumVersion: null, licenseBundle: null }
  const app = {
    product: 'shop',
    version: '1.0.0',
    type: 'app',
    notes: '',
    deviceTypes: [],
    services: [service],
    host: null,
  }
  const os = { ...app, product: 'baseos', type: 'host', services: [], host }
  const check = (data: object) => () => checkRelease(data as unknown as Release['data'])
  const port = (hostPort: number) => ({ host: hostPort, container: 80, protocol: 'tcp' })

  it('of either type is taken', () => {
    expect(check(app)).not.toThrow()
    expect(check(os)).not.toThrow()
    expect(check({ ...os, deviceTypes: ['rpi', 'nuc'], host: { ...host, minimumVersion: '0.9.0' } })).not.toThrow()
  })

  it.each([
    ['without services', { ...app, services: [] }, /needs at least one/],
    ['with a host that is an app', { ...app, host }, /has no host/],
    ['of the hosts’ product that is an app', { ...app, product: 'baseos' }, /host releases/],
    ['with two services of a name', { ...app, services: [service, service] }, /two are called web/],
    [
      'that publishes a port twice',
      {
        ...app,
        services: [
          { ...service, ports: [port(80)] },
          { ...service, name: 'b', ports: [port(80)] },
        ],
      },
      /80\/tcp is published twice/,
    ],
    [
      'that publishes a port of a container on the host’s network',
      { ...app, services: [{ ...service, network: 'host', ports: [port(80)] }] },
      /publishes none/,
    ],
    [
      'that mounts two volumes at one path',
      {
        ...app,
        services: [
          {
            ...service,
            volumes: [
              { name: 'a', path: '/d' },
              { name: 'b', path: '/d' },
            ],
          },
        ],
      },
      /two are mounted at \/d/,
    ],
    ['of a host without one', { ...os, host: null }, /what its host is/],
    ['of a host with services', { ...os, services: [service] }, /has none/],
    ['of a host that is no baseos', { ...os, product: 'shop' }, /one of baseos/],
    ['of a host for other devices', { ...os, deviceTypes: ['nuc'] }, /not among them/],
    ['of a host that needs itself', { ...os, host: { ...host, minimumVersion: '1.0.0' } }, /not older/],
  ])('%s is refused with a sentence', (_, data, sentence) => {
    expect(check(data)).toThrow(sentence)
  })
})

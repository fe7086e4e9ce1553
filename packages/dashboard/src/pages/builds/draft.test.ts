import { buildDefaults, buildInput, type DeviceGroup } from '@freehold/contracts'
import { describe, expect, test } from 'vitest'
import { type BuildDraft, draftOf, emptyDraft, faultsOf, firstFaulty, groupOf, inputOf, stepOfPath } from './draft.ts'

const draft = (change: Partial<BuildDraft>): BuildDraft => ({ ...emptyDraft, ...change })

test('what nobody has changed yet is a build that goes', () => {
  expect(faultsOf(emptyDraft)).toEqual({})
  expect(buildInput.parse(inputOf(emptyDraft))).toMatchObject({
    ...{ imageKind: 'ubuntu-iso', architecture: 'amd64', baseImageId: null, hostname: null, wifi: null },
    ...{ tokenExpiresInSeconds: 30 * 86_400, keepForDays: 14 },
  })
})

describe('a fault stands at its field, on its step', () => {
  test.each<[Partial<BuildDraft>, string, string]>([
    [{ imageKind: 'balena-raw', architecture: 'rpi' }, 'baseImageId', 'base'],
    [{ ubuntuVersion: 'noble' }, 'ubuntuVersion', 'base'],
    [{ hostname: 'a b' }, 'hostname', 'network'],
    [{ hasWifi: true, ssid: '', passphrase: 'correct horse' }, 'wifi.ssid', 'network'],
    [{ hasWifi: true, ssid: 'shop' }, 'wifi.passphrase', 'network'],
    [{ hasWifi: true, ssid: 'shop', passphrase: 'short' }, 'wifi.passphrase', 'network'],
    [{ sshUser: 'Root User' }, 'sshUser', 'access'],
    [{ sshPublicKey: '-----BEGIN OPENSSH PRIVATE KEY-----' }, 'sshPublicKey', 'access'],
    [{ keepForDays: '0' }, 'keepForDays', 'review'],
    [{ tokenDays: 'many' }, 'tokenExpiresInSeconds', 'review'],
  ])('%j', (change, path, step) => {
    const faults = faultsOf(draft(change))
    expect(Object.keys(faults)).toEqual([path])
    expect(stepOfPath(path)).toBe(step)
  })
})

test('the first step with a fault is the one to go to', () => {
  expect(firstFaulty(['keepForDays', 'wifi.ssid', 'deviceLabels.site'])).toBe('network')
  expect(firstFaulty([])).toBeUndefined()
})

test('an open network has no passphrase, and a disk image no user of Ubuntu', () => {
  const input = inputOf(
    draft({ imageKind: 'balena-raw', hasWifi: true, ssid: 'x', passphrase: 'left over', isOpen: true }),
  )
  expect(input.wifi).toEqual({ ssid: 'x', passphrase: null, hidden: false })
  expect(input).not.toHaveProperty('sshUser')
})

test.each<[Partial<BuildDraft>, string[]]>([
  [{}, ['sshUser', 'ubuntuVersion']],
  [{ baseImageId: '01890a5d-ac96-774b-bcce-b302099a8057' }, ['sshUser']],
  [{ imageKind: 'balena-raw', baseImageId: '01890a5d-ac96-774b-bcce-b302099a8057' }, ['compression']],
])('of %j only that is sent which has an effect', (change, sent) => {
  const input = inputOf(draft(change))
  expect(['sshUser', 'ubuntuVersion', 'compression'].filter((name) => name in input)).toEqual(sent)
  expect(buildInput.safeParse(input).error).toBeUndefined()
})

test('another like it has everything but the passphrase', () => {
  const before = draft({
    hostname: 'till',
    hasWifi: true,
    ssid: 'shop',
    passphrase: 'correct horse',
    labels: 'site=berlin',
  })
  const { tokenExpiresInSeconds, wifi, ...rest } = buildInput.parse(inputOf(before))
  expect(tokenExpiresInSeconds).toBe(30 * 86_400)
  const data = {
    ...rest,
    ...buildDefaults,
    ...{ wifi: wifi === null ? null : { ssid: wifi.ssid, isOpen: false, hidden: false } },
    joinTokenId: '',
  }
  expect(draftOf({ data })).toEqual({ ...before, passphrase: '' })
})

test('of the groups that select its labels, the one with the smallest priority has it', () => {
  const group = (name: string, priority: number, selector: Record<string, string>) =>
    ({ data: { name, priority, selector } }) as DeviceGroup
  const groups = [group('all', 100, {}), group('berlin', 10, { site: 'berlin' }), group('b', 10, { site: 'berlin' })]
  expect(groupOf({ site: 'berlin' }, groups)?.data.name).toBe('b')
  expect(groupOf({ site: 'paris' }, groups)?.data.name).toBe('all')
  expect(groupOf({}, groups.slice(1))).toBeUndefined()
})

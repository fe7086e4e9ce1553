import { describe, expect, test } from 'vitest'
import { buildInput } from './builds.ts'

/** A key of the right form; its secret half never was. */
const sshKey = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1nqJ9Xz0L8cRfUu1m1pYb0Zz6b0q0sW9bqgkq5T2dR operator@example'
const faultsOf = (change: object) => {
  const parsed = buildInput.safeParse({ imageKind: 'ubuntu-iso', architecture: 'amd64', ...change })
  return (parsed.error?.issues ?? []).map(({ path }) => path.join('.'))
}

test('a build with all that people give is taken', () => {
  const wifi = { ssid: 'Café 5 GHz', passphrase: 'correct "horse" $battery' }
  expect(faultsOf({ hostname: 'till-7', sshUser: 'ops', sshPublicKey: sshKey, wifi })).toEqual([])
})

describe('what no image could be made of is refused by its field, before there is a build:', () => {
  const wifi = (change: object) => ({ wifi: { ssid: 'shop', passphrase: 'long enough', ...change } })
  test.each<[string, object]>([
    ['hostname', { hostname: 'box\nevil' }],
    ['hostname', { hostname: 'box.example' }],
    ['hostname', { hostname: '-box' }],
    ['hostname', { hostname: 'x'.repeat(64) }],
    ['sshUser', { sshUser: 'root' }],
    ['sshUser', { sshUser: 'Ops' }],
    ['sshPublicKey', { sshPublicKey: 'ssh-ed25519' }],
    ['sshPublicKey', { sshPublicKey: sshKey.replace('ssh-ed25519', 'ssh-rsa') }],
    ['sshPublicKey', { sshPublicKey: `${sshKey}\n${sshKey}` }],
    ['sshPublicKey', { sshPublicKey: `command="sh" ${sshKey}` }],
    ['sshPublicKey', { sshPublicKey: '-----BEGIN OPENSSH PRIVATE KEY-----' }],
    ['ubuntuVersion', { ubuntuVersion: '24.04; reboot' }],
    ['wifi.ssid', wifi({ ssid: '' })],
    ['wifi.ssid', wifi({ ssid: 'a"b' })],
    ['wifi.ssid', wifi({ ssid: 'é'.repeat(17) })],
    ['wifi.passphrase', wifi({ passphrase: 'short' })],
    ['wifi.passphrase', wifi({ passphrase: 'long enough\n' })],
  ])('%s of %j', (path, change) => {
    expect([...new Set(faultsOf(change))]).toEqual([path])
  })
})

describe('what would have no effect is refused with what it works for:', () => {
  const raw = { imageKind: 'balena-raw', architecture: 'rpi', baseImageId: '01890a5d-ac96-774b-bcce-b302099a8057' }
  const iso = { imageKind: 'ubuntu-iso', architecture: 'amd64' }
  test.each<[string, object, RegExp]>([
    ['sshUser', { ...raw, sshUser: 'ops' }, /^works for ubuntu-iso alone: .* root$/],
    ['ubuntuVersion', { ...raw, ubuntuVersion: '24.04' }, /^works for ubuntu-iso without a base image alone/],
    [
      'ubuntuVersion',
      { ...iso, baseImageId: raw.baseImageId, ubuntuVersion: '24.04' },
      /^works for ubuntu-iso without/,
    ],
    ['compression', { ...iso, compression: 'xz' }, /^works for balena-raw alone/],
  ])('%s of %j', (path, input, message) => {
    expect(buildInput.safeParse(input).error?.issues).toMatchObject([
      { path: [path], message: expect.stringMatching(message) },
    ])
  })

  test.each([
    { ...raw, compression: 'zst' },
    { ...iso, sshUser: 'ops', ubuntuVersion: '24.04' },
    { ...iso, sshUser: 'ops', baseImageId: raw.baseImageId },
  ])('nothing of %j', (input) => {
    expect(buildInput.safeParse(input).error).toBeUndefined()
  })
})

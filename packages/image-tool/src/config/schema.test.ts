import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { sshKey } from '../testing.ts'
import { parseConfig } from './load.ts'
import { configJsonSchema } from './schema.ts'

const sha256 = 'a'.repeat(64)
const iso = {
  version: 1,
  kind: 'ubuntu-iso',
  architecture: 'amd64',
  base: { url: 'https://example.com/a.iso', sha256 },
}
const raw = { version: 1, kind: 'balena-raw', architecture: 'rpi', base: { path: 'a.img.xz', sha256 } }

const faultsOf = (input: unknown): string => {
  try {
    parseConfig(input)
    return ''
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

test('a small configuration gets its defaults', () => {
  expect(parseConfig(iso)).toMatchObject({ hostname: 'ubuntu', files: [], date: '2026-01-01T00:00:00Z' })
  expect(parseConfig(raw)).toMatchObject({ compression: 'xz', compressionLevel: 1 })
})

test('a full configuration is taken', () => {
  const autoinstall = {
    locale: 'de_DE.UTF-8',
    keyboard: { layout: 'de', variant: 'nodeadkeys' },
    timezone: 'Europe/Berlin',
    storage: { layout: { name: 'lvm', match: { size: 'largest', ssd: true } } },
    network: { version: 2, ethernets: { any: { match: { name: 'en*' }, dhcp4: true } } },
    packages: ['curl'],
    updates: 'security',
    shutdown: 'poweroff',
  }
  const user = { name: 'ops', sshKeys: [sshKey], passwordHash: `$6$salt$${'x'.repeat(86)}` }
  expect(faultsOf({ ...iso, autoinstall, user, wifi: { ssid: "Bob's ☕", passphrase: `"quotes" are fine` } })).toBe('')
})

describe('refused with its place:', () => {
  test.each([
    ['a newline in the host name', { hostname: 'a\nb' }, 'hostname'],
    ['a quote in the host name', { hostname: 'a"b' }, 'hostname'],
    ['a newline in a key', { user: { sshKeys: [`${sshKey}\nssh-rsa AAAA`] } }, 'user.sshKeys.0'],
    ['a quote in a key', { user: { sshKeys: [`${sshKey}"`] } }, 'user.sshKeys.0'],
    ['a key whose type is not its own', { user: { sshKeys: [sshKey.replace('ed25519', 'rsa')] } }, 'user.sshKeys.0'],
    ['a command before a key', { user: { sshKeys: [`command="id" ${sshKey}`] } }, 'user.sshKeys.0'],
    ['a newline in a Wi-Fi name', { wifi: { ssid: 'a\nb' } }, 'wifi.ssid'],
    ['a quote in a Wi-Fi name', { wifi: { ssid: 'a"b' } }, 'wifi.ssid'],
    ['a line separator in a Wi-Fi name', { wifi: { ssid: 'a\u2028b' } }, 'wifi.ssid'],
    ['a Wi-Fi name of 33 bytes', { wifi: { ssid: '☕'.repeat(11) } }, 'wifi.ssid'],
    ['a short passphrase', { wifi: { ssid: 'a', passphrase: 'short' } }, 'wifi.passphrase'],
    ['a semicolon for GRUB', { kernelArguments: ['a;reboot'] }, 'kernelArguments.0'],
    ['a variable for GRUB', { kernelArguments: ['a=$root'] }, 'kernelArguments.0'],
    ['an end of the entry for GRUB', { kernelArguments: ['}'] }, 'kernelArguments.0'],
    ['two arguments in one', { kernelArguments: ['a b'] }, 'kernelArguments.0'],
    ['a path out of the root', { files: [{ path: '/../etc/passwd', content: '' }] }, 'files.0.path'],
    ['a path with a dot', { files: [{ path: '/etc/./passwd', content: '' }] }, 'files.0.path'],
    ['a relative path', { files: [{ path: 'etc/passwd', content: '' }] }, 'files.0.path'],
    ['a newline in a path', { files: [{ path: '/etc/a\nrm /b', content: '' }] }, 'files.0.path'],
    ['a source out of the folder', { files: [{ path: '/a', source: '../secret' }] }, 'files.0.source'],
    ['an absolute source', { files: [{ path: '/a', source: '/etc/shadow' }] }, 'files.0.source'],
    ['two contents', { files: [{ path: '/a', content: '', source: 'b' }] }, 'files.0'],
    ['a unit of a folder', { units: [{ name: '../a.service', content: '' }] }, 'units.0.name'],
    ['a plain password', { user: { passwordHash: 'hunter2' } }, 'user.passwordHash'],
    ['root as the user', { user: { name: 'root' } }, 'user.name'],
    ['a section that runs commands', { autoinstall: { 'late-commands': ['id'] } }, 'autoinstall'],
    ['a section that waits for a person', { autoinstall: { 'interactive-sections': ['*'] } }, 'autoinstall'],
    [
      'a policy that the layout does not have',
      { autoinstall: { storage: { layout: { name: 'direct', 'sizing-policy': 'all' } } } },
      'autoinstall.storage.layout.sizing-policy',
    ],
    ['a time zone that is none', { autoinstall: { timezone: 'Mars/Base' } }, 'autoinstall.timezone'],
    ['an unknown field', { hostnam: 'a' }, 'hostnam'],
    ['a base without a digest', { base: { url: 'https://example.com/a' } }, 'base'],
    ['a base of another protocol', { base: { url: 'file:///etc/shadow', sha256 } }, 'base.url'],
  ])('%s', (_, change, place) => {
    expect(faultsOf({ ...iso, ...change })).toContain(place)
  })
})

test('every fault is named at once, and no value is repeated', () => {
  const message = faultsOf({ ...iso, hostname: 'secret one', wifi: { ssid: 'a', passphrase: 'secret' }, version: 2 })
  for (const place of ['hostname', 'wifi.passphrase', 'version']) expect(message).toContain(place)
  expect(message).not.toContain('secret')
})

test('no name, key or argument that is taken holds a character that files of settings give a meaning', () => {
  const text = fc.string({ unit: fc.constantFrom(...'aZ0-.="\'$;{}\\\n\r\t #&|`<>()é\u2028\0'), maxLength: 40 })
  fc.assert(
    fc.property(text, (value) => {
      if (faultsOf({ ...iso, hostname: value }) === '') expect(value).toMatch(/^[A-Za-z0-9.-]+$/)
      if (faultsOf({ ...iso, kernelArguments: [value] }) === '') expect(value).not.toMatch(/[\s"'$;{}\\#&|`<>()]/)
      if (faultsOf({ ...iso, wifi: { ssid: value } }) === '') expect(value).not.toMatch(/["\\\n\r\t\0\u2028]/)
      const path = `/${value}`
      if (faultsOf({ ...iso, files: [{ path, content: '' }] }) === '')
        expect(path).not.toMatch(/[\s"'$;\\]|\/\.\.?(\/|$)/)
    }),
  )
})

test('the published schema is JSON Schema and has both kinds', () => {
  const schema = JSON.parse(configJsonSchema())
  expect(schema.$schema).toContain('2020-12')
  expect(JSON.stringify(schema)).toContain('"ubuntu-iso"')
  expect(JSON.stringify(schema)).toContain('"balena-raw"')
})

import { spawnSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { autoinstallSections } from '../config/autoinstall.ts'
import { parseConfig } from '../config/load.ts'
import type { UbuntuIsoConfig } from '../config/schema.ts'
import { sshKey } from '../testing.ts'
import { wifiKey } from '../wifi.ts'
import { autoinstallOf, installerArguments, metaDataOf, userDataOf } from './autoinstall.ts'
import { rewriteGrubMenu } from './grub.ts'
import { updateChecksums } from './index.ts'
import { rootfsEntries } from './rootfs.ts'
import { tarOf } from './tar.ts'

const configOf = (change: object = {}) =>
  parseConfig({
    version: 1,
    kind: 'ubuntu-iso',
    architecture: 'amd64',
    base: { path: 'a', unverified: true },
    ...change,
  }) as UbuntuIsoConfig

test('every entry of the menu installs unattended, and its semicolon reaches the kernel', () => {
  const menu =
    'set timeout=30\nmenuentry "a" {\n\tlinux\t/casper/vmlinuz  quiet ---\n}\n linux /casper/hwe-vmlinuz ---\n'
  const options = { installerArguments, systemArguments: ['console=ttyS0'] }
  const text = rewriteGrubMenu(menu, options)
  expect(text?.split('\n')).toEqual([
    'set default=0',
    'set timeout=1',
    'menuentry "a" {',
    '\tlinux\t/casper/vmlinuz quiet autoinstall ds=nocloud\\;s=/cdrom/nocloud/ --- console=ttyS0',
    '}',
    ' linux /casper/hwe-vmlinuz autoinstall ds=nocloud\\;s=/cdrom/nocloud/ --- console=ttyS0',
    '',
  ])
  expect(rewriteGrubMenu(text ?? '', options)).toBe(text)
  expect(rewriteGrubMenu('linux /live/vmlinuz', options)).toBeUndefined()
  expect(() => rewriteGrubMenu(menu, { ...options, systemArguments: ['a\nreboot'] })).toThrow(/GRUB/)
})

test('what the installer reads is what was meant, whatever text it is', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (hostname) => {
      fc.pre(hostname.isWellFormed())
      expect(parse(metaDataOf({ instanceId: 'i', hostname }))).toEqual({
        'instance-id': 'i',
        'local-hostname': hostname,
      })
    }),
  )
})

/**
 * Keys of "Autoinstall configuration reference manual" and, for `user-data`, of cloud-init's "All cloud config examples",
 * with the type that they give for each; what is a mapping there is one here.
 */
const documented = {
  version: 'number',
  'refresh-installer': { update: 'boolean' },
  shutdown: 'string',
  locale: 'string',
  keyboard: { layout: 'string', variant: 'string', toggle: 'string' },
  timezone: 'string',
  source: { search_drivers: 'boolean', id: 'string' },
  network: { version: 'number', ethernets: 'netplan' },
  proxy: 'string',
  apt: { geoip: 'boolean', fallback: 'string' },
  storage: {
    layout: {
      name: 'string',
      match: {
        ...{ size: 'string', ssd: 'boolean', model: 'string', vendor: 'string', serial: 'string', path: 'string' },
      },
      'sizing-policy': 'string',
    },
    swap: { size: 'number' },
  },
  packages: 'list',
  kernel: { flavor: 'string', package: 'string' },
  updates: 'string',
  drivers: { install: 'boolean' },
  codecs: { install: 'boolean' },
  ssh: { 'install-server': 'boolean', 'allow-pw': 'boolean' },
  'user-data': { hostname: 'string', preserve_hostname: 'boolean', users: 'list' },
  'late-commands': 'list',
}

/** Paths of what is not documented, or is of another type than that. */
function undocumented(value: unknown, known: unknown, path: string): string[] {
  if (known === 'netplan') return []
  if (known === 'list') return Array.isArray(value) ? [] : [path]
  if (typeof known === 'string') return typeof value === known ? [] : [path]
  if (typeof known !== 'object' || known === null || typeof value !== 'object' || value === null) return [path]
  return Object.entries(value).flatMap(([key, inner]) =>
    undocumented(inner, (known as Record<string, unknown>)[key], `${path}.${key}`),
  )
}

test('the answers hold nothing but what the installer documents, whatever sections are given', () => {
  const sections = {
    locale: 'de_DE.UTF-8',
    keyboard: { layout: 'de', variant: '', toggle: 'alt_shift_toggle' },
    timezone: 'Europe/Berlin',
    'refresh-installer': { update: true },
    source: { search_drivers: false, id: 'ubuntu-server-minimal' },
    network: { version: 2, ethernets: { any: { match: { name: 'en*' }, dhcp4: true } } },
    proxy: 'http://172.16.90.1:3128',
    apt: { geoip: false, fallback: 'offline-install' },
    storage: {
      layout: {
        name: 'lvm',
        match: { size: 'largest', ssd: true, model: 'M*', vendor: 'V', serial: 'CT*', path: '/dev/nvme*' },
        'sizing-policy': 'all',
      },
      swap: { size: 0 },
    },
    packages: ['curl'],
    kernel: { flavor: 'hwe' },
    updates: 'all',
    drivers: { install: false },
    codecs: { install: false },
    shutdown: 'poweroff',
  }
  expect(Object.keys(sections).toSorted()).toEqual(Object.keys(autoinstallSections.shape).toSorted())
  const user = { name: 'ops', sshKeys: [sshKey], passwordHash: `$6$salt$${'x'.repeat(86)}` }
  for (const autoinstall of [sections, { kernel: { package: 'linux-image-generic' } }, {}]) {
    const answers = autoinstallOf(configOf({ user, wifi: { ssid: 'a' }, autoinstall }))
    expect(undocumented(answers, documented, 'autoinstall')).toEqual([])
    expect(answers).toMatchObject({ version: 1, 'late-commands': [[expect.any(String), expect.any(String)]] })
    // One user of the installer's own is not needed where user-data is there.
    expect(Object.keys(answers)).toContain('user-data')
  }
  expect(undocumented({ storage: { layouts: {} }, ssh: { 'allow-pw': 'no' } }, documented, '')).toEqual([
    '.storage.layouts',
    '.ssh.allow-pw',
  ])
})

test('the answers name user, keys and packages, and sections given win over ours', () => {
  const config = configOf({
    user: { name: 'ops' },
    wifi: { ssid: 'a' },
    autoinstall: { shutdown: 'poweroff', packages: ['curl'] },
  })
  const text = userDataOf(config)
  expect(text.startsWith('#cloud-config\n')).toBe(true)
  expect(parse(text)).toEqual({ autoinstall: autoinstallOf(config) })
  expect(autoinstallOf(config)).toMatchObject({
    version: 1,
    shutdown: 'poweroff',
    packages: ['curl', 'wpasupplicant'],
    'user-data': { users: [{ name: 'ops', lock_passwd: true }] },
  })
})

test('the list of checksums gets new sums for old paths and lines for new ones', () => {
  const list = `${'0'.repeat(32)}  ./a b\n${'1'.repeat(32)}  ./c\n${'4'.repeat(32)}  ./boot\n`
  const sums = new Map([
    ['/c', '2'.repeat(32)],
    ['/d', '3'.repeat(32)],
  ])
  expect(updateChecksums(list, { sums, gone: ['/boot'] })).toBe(
    `${'0'.repeat(32)}  ./a b\n${'2'.repeat(32)}  ./c\n${'3'.repeat(32)}  ./d\n`,
  )
})

test('the key of a wireless network is that of IEEE 802.11 annex J.4.2', async () => {
  expect(await wifiKey({ ssid: 'IEEE', passphrase: 'password' })).toBe(
    'f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e',
  )
})

test('files, units, network and script become an archive that tar reads', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tar-'))
  try {
    const config = configOf({
      wifi: { ssid: 'a', passphrase: 'long enough' },
      units: [{ name: 'agent.service', content: '[Unit]\n' }],
      installScript: 'echo done',
      files: [{ path: `/opt/${'d'.repeat(90)}/${'f'.repeat(90)}`, content: 'deep', mode: '0755' }],
    })
    const archive = join(folder, 'a.tar')
    await writeFile(archive, tarOf(await rootfsEntries(config, folder), 1_700_000_000))
    const listed = spawnSync('tar', ['-tvf', archive, '--numeric-owner', '--utc'], { encoding: 'utf8' })
    expect(listed.stderr).toBe('')
    const lines = listed.stdout.trim().split('\n')
    expect(lines).toHaveLength(6)
    expect(lines.every((line) => line.includes('2023-11-14 22:13'))).toBe(true)
    expect(listed.stdout).toMatch(/^-rw------- 0\/0 .* etc\/netplan\/60-freehold-wifi.yaml$/m)
    expect(listed.stdout).toContain('multi-user.target.wants/agent.service -> ../agent.service')
    const deep = spawnSync('tar', ['-xOf', archive, `opt/${'d'.repeat(90)}/${'f'.repeat(90)}`], { encoding: 'utf8' })
    expect(deep.stdout).toBe('deep')
    expect(spawnSync('tar', ['-xOf', archive], { encoding: 'utf8' }).stdout).not.toContain('long enough')
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})

test('a path given twice is refused', async () => {
  const config = configOf({
    units: [{ name: 'a.service', content: '' }],
    files: [{ path: '/etc/systemd/system/a.service', content: '' }],
  })
  await expect(rootfsEntries(config, '.')).rejects.toThrow(/twice/)
})

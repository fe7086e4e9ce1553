import { createHash } from 'node:crypto'
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createWorkbench, repackForeign, type Workbench } from '../../packages/image-tool/src/testing.ts'
import { makeDiskImage, makeUbuntuShapedIso, runProgram } from '../../tools/base-images.ts'
import { type Architecture, bootGuest, makeBootFiles, mountImage, requireGuests, rescueIso } from './lab/index.ts'

/**
 * What the guest does in place of Ubuntu's installer: it checks the medium, reads what cloud-init would read, and runs
 * our script as the installer runs it last, with a program in curtin's place.
 */
const installer = `${mountImage}
echo "CMDLINE $(cat /proc/cmdline)"
cd /cdrom && md5sum -c md5sum.txt >/tmp-sums 2>&1; echo "MEDIUM $?"; cat /tmp-sums | grep -v OK
for file in nocloud/user-data nocloud/meta-data freehold/install.sh freehold/rootfs.tar; do
  echo "HASH $file $(sha256sum /cdrom/$file | cut -c 1-64)"
done
printf '#!/bin/sh\\necho "CURTIN $*"\\n' >/bin/curtin; chmod 755 /bin/curtin
sh /cdrom/freehold/install.sh; echo "SCRIPT $?"
echo "MODE $(stat -c '%a %u:%g' /target/etc/baseos/baserunner.env) $(sha256sum /target/etc/baseos/baserunner.env | cut -c 1-64)"
echo "LINK $(readlink /target/etc/systemd/system/multi-user.target.wants/baseos-baserunner.service)"
`
const environment = 'BASEOS_CLOUDLY_URL=https://cloud.example.com\nBASEOS_JOIN_TOKEN=it\'s "$one" `time`\n'

/** An emulated machine that shares its processor is slow. */
const bootLimitMs = 420_000

/** Each architecture with its serial line. */
const consoles = { amd64: 'ttyS0,115200', arm64: 'ttyAMA0,115200' } as const satisfies Record<Architecture, string>

describe.each([
  ['amd64', ['bios', 'uefi']],
  ['arm64', ['uefi']],
] as const)('an installer for %s', (architecture, firmwares) => {
  let bench: Workbench
  let image = ''
  const hashes = new Map<string, string>()

  beforeAll(async () => {
    requireGuests(architecture)
    bench = await createWorkbench()
    const boot = await makeBootFiles(bench.folder, { script: installer, architecture })
    await makeUbuntuShapedIso(join(bench.folder, 'base.iso'), { architecture, boot })
    const built = await bench.build({
      kind: 'ubuntu-iso',
      architecture,
      base: { path: 'base.iso', unverified: true },
      output: { path: 'out.iso' },
      hostname: 'box-1',
      kernelArguments: [`console=${consoles[architecture]}`],
      files: [{ path: '/etc/baseos/baserunner.env', content: environment, mode: '0600' }],
      units: [{ name: 'baseos-baserunner.service', content: '[Service]\nExecStart=/opt/baseos/start\n' }],
      installScript: 'echo installed',
    })
    image = built.path ?? ''
    for (const path of ['nocloud/user-data', 'nocloud/meta-data', 'freehold/install.sh', 'freehold/rootfs.tar']) {
      const copy = join(bench.folder, path.replace('/', '-'))
      await runProgram(['xorriso', '-osirrox', 'on', '-indev', image, '-extract', `/${path}`, copy])
      hashes.set(path, sha256Of(await readFile(copy)))
    }
  })
  afterAll(() => bench?.[Symbol.asyncDispose]())

  test.each(firmwares.flatMap((firmware) => [[firmware, 'cd'] as const, [firmware, 'disk'] as const]))(
    'boots unattended by %s from %s, and the guest finds what was put in',
    { timeout: bootLimitMs },
    async (firmware, medium) => {
      const said = await bootGuest(image, { architecture, firmware, medium })
      expect(said).toMatch(/CMDLINE .*\bautoinstall ds=nocloud;s=\/cdrom\/nocloud\/ --- console=tty/)
      expect(said).toContain('MEDIUM 0')
      for (const [path, hash] of hashes) expect(said).toContain(`HASH ${path} ${hash}`)
      expect(said).toContain('CURTIN in-target --target=/target -- /var/lib/freehold-install-script')
      expect(said).toContain('SCRIPT 0')
      expect(said).toContain(`MODE 600 0:0 ${sha256Of(environment)}`)
      expect(said).toContain('LINK ../baseos-baserunner.service')
    },
  )
})

/** What a device's own first program would read: the boot partition, and the one that keeps its state. */
const device = `
mkdir /boot /state
for try in 1 2 3 4 5 6 7 8 9 10; do
  disk=$(ls -d /sys/block/vd*/vd*1 | cut -d / -f 4); [ -n "$disk" ] && break; sleep 1
done
mount -t vfat -o ro /dev/\${disk}1 /boot; echo "BOOT $?"
mount -t ext4 -o ro /dev/\${disk}4 /state; echo "STATE $?"
for file in /boot/config.json /boot/system-connections/freehold-wifi /boot/baseos/baserunner.env /state/etc/baseos/extra.env; do
  echo "HASH $file $(sha256sum $file | cut -c 1-64)"
done
echo "MODE $(stat -c '%a %u:%g' /state/etc/baseos/extra.env)"
`

test('the disk of a device boots for arm64, and the guest finds what was put in', {
  timeout: bootLimitMs,
}, async () => {
  requireGuests('arm64')
  await using bench = await createWorkbench()
  const menu = { beside: '/config.json', path: '/EFI/BOOT/grub.cfg' }
  const boot = await makeBootFiles(bench.folder, { script: device, architecture: 'arm64', menu })
  const bootFolder = join(bench.folder, 'boot')
  await mkdir(join(bootFolder, 'EFI/BOOT'), { recursive: true })
  await cp(boot.efi, join(bootFolder, 'EFI/BOOT/BOOTAA64.EFI'))
  await cp(boot.kernel, join(bootFolder, 'vmlinuz'))
  await cp(boot.initrd, join(bootFolder, 'initrd'))
  const entry = `linux /vmlinuz console=${consoles.arm64}\ninitrd /initrd\nboot\n`
  await writeFile(join(bootFolder, 'EFI/BOOT/grub.cfg'), entry)
  await makeDiskImage(join(bench.folder, 'base.img'), { table: 'gpt', bootFolder })
  const built = await bench.build({
    kind: 'balena-raw',
    architecture: 'arm64',
    base: { path: 'base.img', unverified: true },
    output: { path: 'out.img' },
    compression: 'none',
    hostname: 'box-2',
    wifi: { ssid: 'shop', passphrase: 'long enough' },
    files: [
      { path: '/baseos/baserunner.env', content: environment },
      { path: '/etc/baseos/extra.env', content: environment, mode: '0600', partition: 'state' },
    ],
  })
  const said = await bootGuest(built.path ?? '', { architecture: 'arm64', firmware: 'uefi', medium: 'disk' })
  expect(said).toContain('BOOT 0')
  expect(said).toContain('STATE 0')
  for (const path of ['config.json', 'system-connections/freehold-wifi']) {
    const text = await runProgram(['mtype', '-i', `${built.path}@@4M`, `::/${path}`])
    expect(text).toContain(path === 'config.json' ? 'box-2' : 'ssid=')
    expect(said).toContain(`HASH /boot/${path} ${sha256Of(text)}`)
  }
  expect(said).toContain(`HASH /boot/baseos/baserunner.env ${sha256Of(environment)}`)
  expect(said).toContain(`HASH /state/etc/baseos/extra.env ${sha256Of(environment)}`)
  expect(said).toContain('MODE 600 0:0')
})

test('an image of somebody else boots from CD and disk after files were put in', { timeout: bootLimitMs }, async () => {
  requireGuests()
  await using bench = await createWorkbench()
  const target = join(bench.folder, 'foreign.iso')
  const menu = 'serial --unit=0\nterminal_output serial\necho FOREIGN-BEGIN\ncat /added.txt\necho FOREIGN-END\nhalt\n'
  const added = 'a line that was added\n'
  await repackForeign(rescueIso(), { target, files: { '/boot/grub/grub.cfg': menu, '/added.txt': added } })
  for (const medium of ['cd', 'disk'] as const) {
    const said = await bootGuest(target, { firmware: 'bios', medium, until: /FOREIGN-END/ })
    expect(said).toMatch(/FOREIGN-BEGIN\s+a line that was added\s+FOREIGN-END/)
  }
})

const sha256Of = (content: string | Buffer) => createHash('sha256').update(content).digest('hex')

import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createWorkbench, repackForeign, type Workbench } from '../../packages/image-tool/src/testing.ts'
import { makeUbuntuShapedIso, runProgram } from '../../tools/base-images.ts'
import { bootGuest, makeBootFiles, requireGuests, rescueIso } from './lab/index.ts'

/**
 * What the guest does in place of Ubuntu's installer: it checks the medium, reads what cloud-init would read, and runs
 * our script as the installer runs it last, with a program in curtin's place.
 */
const installer = `
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

let bench: Workbench
let image = ''
const hashes = new Map<string, string>()

beforeAll(async () => {
  requireGuests()
  bench = await createWorkbench()
  const boot = await makeBootFiles(bench.folder, { script: installer })
  await makeUbuntuShapedIso(join(bench.folder, 'base.iso'), { boot })
  const built = await bench.build({
    kind: 'ubuntu-iso',
    architecture: 'amd64',
    base: { path: 'base.iso', unverified: true },
    output: { path: 'out.iso' },
    hostname: 'box-1',
    kernelArguments: ['console=ttyS0,115200'],
    files: [{ path: '/etc/baseos/baserunner.env', content: environment, mode: '0600' }],
    units: [{ name: 'baseos-baserunner.service', content: '[Service]\nExecStart=/opt/baseos/start\n' }],
    installScript: 'echo installed',
  })
  image = built.path ?? ''
  for (const path of ['nocloud/user-data', 'nocloud/meta-data', 'freehold/install.sh', 'freehold/rootfs.tar']) {
    const copy = join(bench.folder, path.replace('/', '-'))
    await runProgram(['xorriso', '-osirrox', 'on', '-indev', image, '-extract', `/${path}`, copy])
    hashes.set(
      path,
      createHash('sha256')
        .update(await readFile(copy))
        .digest('hex'),
    )
  }
})
afterAll(() => bench?.[Symbol.asyncDispose]())

test.each([
  ['bios', 'cd'],
  ['bios', 'disk'],
  ['uefi', 'cd'],
  ['uefi', 'disk'],
] as const)(
  'an image boots unattended by %s from %s, and the guest finds what was put in',
  { timeout: bootLimitMs },
  async (firmware, medium) => {
    const said = await bootGuest(image, { firmware, medium })
    expect(said).toMatch(/CMDLINE .*\bautoinstall ds=nocloud;s=\/cdrom\/nocloud\/ --- console=ttyS0,115200/)
    expect(said).toContain('MEDIUM 0')
    for (const [path, hash] of hashes) expect(said).toContain(`HASH ${path} ${hash}`)
    expect(said).toContain('CURTIN in-target --target=/target -- /var/lib/freehold-install-script')
    expect(said).toContain('SCRIPT 0')
    expect(said).toContain(`MODE 600 0:0 ${createHash('sha256').update(environment).digest('hex')}`)
    expect(said).toContain('LINK ../baseos-baserunner.service')
  },
)

test('an image of somebody else boots from CD and disk after files were put in', { timeout: bootLimitMs }, async () => {
  const target = join(bench.folder, 'foreign.iso')
  const menu = 'serial --unit=0\nterminal_output serial\necho FOREIGN-BEGIN\ncat /added.txt\necho FOREIGN-END\nhalt\n'
  const added = 'a line that was added\n'
  await repackForeign(rescueIso(), { target, files: { '/boot/grub/grub.cfg': menu, '/added.txt': added } })
  for (const medium of ['cd', 'disk'] as const) {
    const said = await bootGuest(target, { firmware: 'bios', medium, until: /FOREIGN-END/ })
    expect(said).toMatch(/FOREIGN-BEGIN\s+a line that was added\s+FOREIGN-END/)
  }
})

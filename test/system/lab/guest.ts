import { existsSync, readdirSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { runProgram } from '../../../tools/base-images.ts'
import { findPart, requireParts } from './parts.ts'
import { startProgram } from './process.ts'
import { temporaryFolder, waitFor } from './wait.ts'

/** Files that no program on the path stands for, each with its Debian package. */
const files = {
  '/usr/lib/grub/i386-pc/boot_hybrid.img': 'grub-pc-bin',
  '/usr/lib/grub/x86_64-efi/normal.mod': 'grub-efi-amd64-bin',
  '/usr/share/ovmf/OVMF.fd': 'ovmf',
  '/usr/share/seabios/bios-256k.bin': 'seabios',
  [rescueIso()]: 'grub-rescue-pc',
} as const

/** A small image of Debian's that boots GRUB from CD and disk. */
export function rescueIso(): string {
  return '/usr/lib/grub-rescue/grub-rescue-cdrom.iso'
}

/** Where the kernel's package was unpacked with its modules listed; the machine's own root unless the environment says so. */
function kernelRoot(): string {
  return process.env.FREEHOLD_LAB_KERNEL || '/'
}

/** The newest kernel of linux-image-cloud-amd64, or undefined. */
function findKernel(): string | undefined {
  const boot = join(kernelRoot(), 'boot')
  if (!existsSync(boot)) return undefined
  return readdirSync(boot)
    .filter((name) => /^vmlinuz-.*-cloud-amd64$/.test(name))
    .toSorted()
    .at(-1)
}

/** Throws, naming the packages, unless guests can be booted here. */
export function requireGuests(): void {
  requireParts(['qemu-system-x86_64', 'grub-mkimage', 'xorriso', 'mcopy', 'mkfs.vfat', 'busybox'])
  const missing = Object.entries(files).flatMap(([path, name]) => (existsSync(path) ? [] : [name as string]))
  if (findKernel() === undefined) missing.push('linux-image-cloud-amd64')
  if (missing.length === 0) return
  throw new Error(
    `This test needs: apt-get install --no-install-recommends -y ${missing.join(' ')} (a kernel may also be unpacked elsewhere, as .ci/run does: FREEHOLD_LAB_KERNEL)`,
  )
}

export type Firmware = 'bios' | 'uefi'
export type Medium = 'cd' | 'disk'

/** A disk that a guest writes its report to: a serial line loses characters now and then. */
const reportBytes = 64 * 1024

/**
 * Boots an image in an emulated machine without a network, and gives what it said on its serial line and in its report until
 * `until` came on the line, or it ended. The machine is gone afterwards.
 */
export async function bootGuest(
  image: string,
  {
    firmware,
    medium,
    until,
    timeoutMs = 400_000,
  }: { firmware: Firmware; medium: Medium; until?: RegExp; timeoutMs?: number },
): Promise<string> {
  const drive = {
    cd: [
      '-drive',
      `file=${image},if=none,id=boot,media=cdrom,readonly=on,format=raw`,
      '-device',
      'ide-cd,drive=boot,bootindex=0',
    ],
    disk: [
      '-drive',
      `file=${image},if=none,id=boot,format=raw,snapshot=on`,
      '-device',
      'virtio-blk-pci,drive=boot,bootindex=0',
    ],
  }[medium]
  const folder = await temporaryFolder('guest')
  const report = join(folder.path, 'report')
  await writeFile(report, Buffer.alloc(reportBytes))
  const guest = await startProgram([
    ...['qemu-system-x86_64', '-accel', 'tcg', '-machine', 'pc', '-m', '512', '-nic', 'none', '-no-reboot'],
    ...['-display', 'none', '-vga', 'none', '-monitor', 'none', '-serial', 'stdio'],
    ...(firmware === 'uefi' ? ['-bios', '/usr/share/ovmf/OVMF.fd'] : []),
    ...drive,
    ...[
      '-drive',
      `file=${report},if=none,id=report,format=raw`,
      '-device',
      'virtio-blk-pci,drive=report,serial=report',
    ],
  ])
  try {
    await waitFor(() => until?.test(guest.output()) || guest.ended() !== undefined, {
      what: `${until ?? 'the end'} from a guest that said: ${guest.output().slice(-1500)}`,
      timeoutMs,
    }).catch((error) => {
      throw new Error(`${error instanceof Error ? error.message : error}\n${guest.output().slice(-3000)}`)
    })
    return guest.output() + (await readFile(report, 'utf8')).replace(/\0+$/, '')
  } finally {
    await guest.stop()
    await folder.remove()
  }
}

/** Modules of the kernel that a guest finds its medium with. */
const modules = ['virtio_pci', 'virtio_blk', 'ata_piix', 'sr_mod', 'sd_mod', 'isofs']

/**
 * Makes what a guest boots: a kernel of Debian's, an initial file system of busybox that runs `script`, and GRUB for
 * BIOS and UEFI that looks for the menu on the image.
 */
export async function makeBootFiles(
  folder: string,
  { script }: { script: string },
): Promise<{ kernel: string; initrd: string; bios: string; efi: string; mbr: string }> {
  const kernel = findKernel()
  if (kernel === undefined) throw new Error('There is no kernel of linux-image-cloud-amd64.')
  const initrd = join(folder, 'initrd')
  await makeInitialFiles(initrd, { release: kernel.slice('vmlinuz-'.length), script })
  const early = join(folder, 'early.cfg')
  await writeFile(
    early,
    'search --file --set=root /.disk/info\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n',
  )
  const common = [
    'part_gpt',
    'part_msdos',
    'fat',
    'iso9660',
    'normal',
    'linux',
    'configfile',
    'search',
    'search_fs_file',
  ]
  const [bios, efi] = [join(folder, 'eltorito.img'), join(folder, 'bootx64.efi')]
  const make = (format: string, output: string, extra: string[]) =>
    runProgram([
      'grub-mkimage',
      '-O',
      format,
      '-o',
      output,
      '-p',
      '/boot/grub',
      '-c',
      early,
      ...common,
      'test',
      'echo',
      ...extra,
    ])
  await make('i386-pc-eltorito', bios, ['biosdisk'])
  await make('x86_64-efi', efi, ['efi_gop', 'all_video'])
  return { kernel: join(kernelRoot(), 'boot', kernel), initrd, bios, efi, mbr: '/usr/lib/grub/i386-pc/boot_hybrid.img' }
}

async function makeInitialFiles(
  target: string,
  { release, script }: { release: string; script: string },
): Promise<void> {
  const paths = await modulePaths(release)
  const init = [
    '#!/bin/busybox sh',
    '/bin/busybox --install -s /bin',
    'export PATH=/bin',
    'mount -t proc proc /proc; mount -t devtmpfs dev /dev; mount -t sysfs sys /sys',
    ...paths.map((path) => `insmod /modules/${basename(path)}`),
    'for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do',
    '  for device in /dev/sr0 /dev/vda; do mount -t iso9660 -o ro $device /cdrom 2>/dev/null && break 2; done; sleep 1',
    'done',
    `{ ${script}\n} >/report 2>&1`,
    'cat /report',
    'disk=$(grep -l report /sys/block/vd*/serial | cut -d / -f 4)',
    'cat /report >/dev/$disk; sync; poweroff -f',
    '',
  ]
  const folders = ['bin', 'modules', 'proc', 'dev', 'sys', 'cdrom', 'target'].map((name) => newcEntry(name, 0o40755))
  const files = [
    newcEntry('init', 0o100755, Buffer.from(init.join('\n'))),
    newcEntry('bin/busybox', 0o100755, await readFile(findPart('busybox') ?? '')),
    ...(await Promise.all(
      paths.map(async (path) =>
        newcEntry(`modules/${basename(path)}`, 0o100644, await readFile(join(modulesOf(release), path))),
      ),
    )),
  ]
  await writeFile(target, Buffer.concat([...folders, ...files, newcEntry('TRAILER!!!', 0)]))
}

/** One file of a cpio archive in the format that Linux starts from (newc). */
function newcEntry(name: string, mode: number, bytes = Buffer.alloc(0)): Buffer {
  const fields = [0, mode, 0, 0, 1, 0, bytes.length, 0, 0, 0, 0, name.length + 1, 0]
  const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}${name}\0`
  const padded = (part: Buffer) => Buffer.concat([part, Buffer.alloc((4 - (part.length % 4)) % 4)])
  return Buffer.concat([padded(Buffer.from(header)), padded(bytes)])
}

function modulesOf(release: string): string {
  return join(kernelRoot(), 'lib/modules', release)
}

/** The modules with those they need before them, as paths below the kernel's folder of modules. */
async function modulePaths(release: string): Promise<string[]> {
  const lines = (await readFile(join(modulesOf(release), 'modules.dep'), 'utf8')).split('\n')
  const needs = new Map(
    lines.flatMap((line) => {
      const [path = '', rest = ''] = line.split(':')
      return path === '' ? [] : [[path, rest.trim().split(' ').filter(Boolean)] as const]
    }),
  )
  const ordered = new Set<string>()
  const add = (path: string): void => {
    for (const need of needs.get(path) ?? []) add(need)
    ordered.add(path)
  }
  for (const name of modules) {
    const path = [...needs.keys()].find((candidate) => candidate.endsWith(`/${name}.ko`))
    if (path !== undefined) add(path)
  }
  return [...ordered]
}

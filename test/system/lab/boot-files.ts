import { existsSync, readdirSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { runProgram } from '../../../tools/base-images.ts'
import { findPart } from './parts.ts'

export type Architecture = 'amd64' | 'arm64'

/** Files that no program on the path stands for, each with its Debian package. */
const files: Record<Architecture, Readonly<Record<string, string>>> = {
  amd64: {
    '/usr/lib/grub/i386-pc/boot_hybrid.img': 'grub-pc-bin',
    '/usr/lib/grub/x86_64-efi/normal.mod': 'grub-efi-amd64-bin',
    '/usr/share/ovmf/OVMF.fd': 'ovmf',
    '/usr/share/seabios/bios-256k.bin': 'seabios',
    [rescueIso()]: 'grub-rescue-pc',
  },
  arm64: { '/usr/share/qemu-efi-aarch64/QEMU_EFI.fd': 'qemu-efi-aarch64' },
}

/** A small image of Debian's that boots GRUB from CD and disk. */
export function rescueIso(): string {
  return '/usr/lib/grub-rescue/grub-rescue-cdrom.iso'
}

/** What is to be done before guests of this architecture boot here, or undefined. */
export function missingBootParts(architecture: Architecture): string | undefined {
  const packages = Object.entries(files[architecture]).flatMap(([path, name]) => (existsSync(path) ? [] : [name]))
  const hasKernel = findKernel(architecture) !== undefined
  if (!hasKernel && architecture === 'amd64') packages.push('linux-image-cloud-amd64')
  const todo = [
    ...(packages.length === 0 ? [] : [`apt-get install --no-install-recommends -y ${packages.join(' ')}`]),
    // A kernel may also be unpacked elsewhere, as .ci/run does.
    ...(hasKernel || architecture === 'amd64' ? [] : [`bash .ci/arm64 FOLDER && export ${rootVariables.arm64}=FOLDER`]),
  ]
  return todo.length === 0 ? undefined : todo.join(' && ')
}

/** Say where the files of packages were unpacked with the kernel's modules listed. */
const rootVariables = { amd64: 'FREEHOLD_LAB_KERNEL', arm64: 'FREEHOLD_LAB_ARM64' } as const

/** Of this machine's own architecture its own root, unless the environment says another. */
function rootOf(architecture: Architecture): string | undefined {
  return process.env[rootVariables[architecture]] || (architecture === 'amd64' ? '/' : undefined)
}

interface Kernel {
  path: string
  modulesFolder: string
}

/** The newest kernel of linux-image-cloud-…, or undefined. */
function findKernel(architecture: Architecture): Kernel | undefined {
  const root = rootOf(architecture)
  if (root === undefined || !existsSync(join(root, 'boot'))) return undefined
  const name = readdirSync(join(root, 'boot'))
    .filter((file) => file.startsWith('vmlinuz-') && file.endsWith(`-cloud-${architecture}`))
    .toSorted()
    .at(-1)
  if (name === undefined) return undefined
  return { path: join(root, 'boot', name), modulesFolder: join(root, 'lib/modules', name.slice('vmlinuz-'.length)) }
}

/** Modules of the kernel that a guest finds its medium with. */
const modules: Record<Architecture, readonly string[]> = {
  amd64: ['virtio_pci', 'virtio_blk', 'ata_piix', 'sr_mod', 'sd_mod', 'isofs'],
  arm64: ['virtio_pci', 'virtio_blk', 'virtio_scsi', 'sr_mod', 'isofs', 'nls_cp437', 'nls_ascii', 'vfat'],
}

export interface BootFiles {
  kernel: string
  initrd: string
  efi: string
  /** Where the architecture boots by BIOS too. */
  legacy: { bios: string; mbr: string } | undefined
}

export interface BootFilesOptions {
  /** What the guest does, in place of an installer; it ends when that is done. */
  script: string
  architecture?: Architecture
  /** The file that GRUB finds the image by, and its menu there; those of Ubuntu's images where they are not given. */
  menu?: { beside: string; path: string }
}

/**
 * Makes what a guest boots: a kernel of Debian's, an initial file system of busybox that runs `script`, and GRUB that
 * looks for the menu on the image.
 */
export async function makeBootFiles(
  folder: string,
  { script, architecture = 'amd64', menu = { beside: '/.disk/info', path: '/boot/grub/grub.cfg' } }: BootFilesOptions,
): Promise<BootFiles> {
  const kernel = findKernel(architecture)
  if (kernel === undefined) throw new Error(`There is no kernel of linux-image-cloud-${architecture}.`)
  const initrd = join(folder, 'initrd')
  await makeInitialFiles(initrd, { kernel, architecture, script })
  const early = join(folder, 'early.cfg')
  await writeFile(
    early,
    `search --file --set=root ${menu.beside}\nset prefix=($root)/boot/grub\nconfigfile ($root)${menu.path}\n`,
  )
  const common = ['part_gpt', 'part_msdos', 'fat', 'iso9660', 'normal', 'linux', 'configfile', 'test', 'echo']
  const make = async (format: string, name: string, extra: string[]) => {
    const output = join(folder, name)
    const parts = format === 'arm64-efi' ? ['-d', join(rootOf('arm64') ?? '', 'usr/lib/grub/arm64-efi')] : []
    const args = ['-O', format, '-o', output, '-p', '/boot/grub', '-c', early, ...parts]
    await runProgram(['grub-mkimage', ...args, ...common, 'search', 'search_fs_file', ...extra])
    return output
  }
  if (architecture === 'arm64') {
    const efi = await make('arm64-efi', 'bootaa64.efi', [])
    return { kernel: kernel.path, initrd, efi, legacy: undefined }
  }
  const bios = await make('i386-pc-eltorito', 'eltorito.img', ['biosdisk'])
  const efi = await make('x86_64-efi', 'bootx64.efi', ['efi_gop', 'all_video'])
  return { kernel: kernel.path, initrd, efi, legacy: { bios, mbr: '/usr/lib/grub/i386-pc/boot_hybrid.img' } }
}

/** Mounts an image that Ubuntu's installer would find at /cdrom: for the beginning of a script. */
export const mountImage = `
for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  for device in /dev/sr0 /dev/vda /dev/vdb; do mount -t iso9660 -o ro $device /cdrom 2>/dev/null && break 2; done; sleep 1
done
`

async function makeInitialFiles(
  target: string,
  { kernel, architecture, script }: { kernel: Kernel; architecture: Architecture; script: string },
): Promise<void> {
  const paths = await modulePaths(kernel, modules[architecture])
  const init = [
    '#!/bin/busybox sh',
    '/bin/busybox --install -s /bin',
    'export PATH=/bin',
    'mount -t proc proc /proc; mount -t devtmpfs dev /dev; mount -t sysfs sys /sys',
    ...paths.map((path) => `insmod /modules/${basename(path)}`),
    `{ ${script}\n} >/report 2>&1`,
    'cat /report',
    'disk=$(grep -l report /sys/block/vd*/serial | cut -d / -f 4)',
    'cat /report >/dev/$disk; sync; poweroff -f',
    '',
  ]
  const folders = ['bin', 'modules', 'proc', 'dev', 'sys', 'cdrom', 'target'].map((name) => newcEntry(name, 0o40755))
  const busybox = architecture === 'amd64' ? findPart('busybox') : join(rootOf(architecture) ?? '', 'bin/busybox')
  const files = [
    newcEntry('init', 0o100755, Buffer.from(init.join('\n'))),
    newcEntry('bin/busybox', 0o100755, await readFile(busybox ?? '')),
    ...(await Promise.all(
      paths.map(async (path) =>
        newcEntry(`modules/${basename(path)}`, 0o100644, await readFile(join(kernel.modulesFolder, path))),
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

/** The modules with those they need before them, as paths below the kernel's folder of modules. */
async function modulePaths(kernel: Kernel, names: readonly string[]): Promise<string[]> {
  const lines = (await readFile(join(kernel.modulesFolder, 'modules.dep'), 'utf8')).split('\n')
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
  for (const name of names) {
    const path = [...needs.keys()].find((candidate) => candidate.endsWith(`/${name}.ko`))
    if (path !== undefined) add(path)
  }
  return [...ordered]
}

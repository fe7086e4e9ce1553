import { spawn } from 'node:child_process'
import { accessSync, constants, createWriteStream } from 'node:fs'
import { cp, mkdir, mkdtemp, open, readdir, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { pipeline } from 'node:stream/promises'

/**
 * Makes base images of the shape of those that one downloads, from Debian's packages alone: for tests and measurements of
 * the image tool.
 */

const path = [process.env.PATH ?? '', '/usr/sbin', '/sbin'].join(delimiter)

/** Programs these images are made and checked with, each with its Debian package. */
const parts: Readonly<Record<string, string>> = {
  xorriso: 'xorriso',
  mcopy: 'mtools',
  'mkfs.vfat': 'dosfstools',
  'mkfs.ext4': 'e2fsprogs',
  debugfs: 'e2fsprogs',
  sfdisk: 'fdisk',
  xz: 'xz-utils',
  zstd: 'zstd',
  zip: 'zip',
}

/**
 * Why base images cannot be made here, or undefined. With FREEHOLD_REQUIRE_IMAGES=1 it throws instead, so that a run which
 * must be whole does not skip.
 */
export function whyNoBaseImages(): string | undefined {
  const missing = Object.keys(parts).filter((part) => !isInstalled(part))
  if (missing.length === 0) return undefined
  const packages = [...new Set(missing.map((part) => parts[part]))].join(' ')
  const reason = `${missing.join(', ')} missing: apt-get install --no-install-recommends ${packages}`
  if (process.env.FREEHOLD_REQUIRE_IMAGES === '1') throw new Error(reason)
  return reason
}

/** Runs a program and gives its standard output; throws with its standard error. */
export async function runProgram([program, ...args]: readonly string[], cwd = tmpdir()): Promise<string> {
  const child = spawn(program ?? '', args, { cwd, env: { PATH: path, LC_ALL: 'C', TZ: 'UTC', HOME: cwd } })
  const [out, err]: Buffer[][] = [[], []]
  child.stdin.end()
  child.stdout.on('data', (chunk: Buffer) => out?.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => err?.push(chunk))
  const code = await new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', resolve)
  })
  if (code !== 0)
    throw new Error(
      `${program} ended with ${code}: ${Buffer.concat(err ?? [])
        .toString()
        .slice(-2000)}`,
    )
  return Buffer.concat(out ?? []).toString()
}

const menu = `set timeout=30

loadfont unicode

menuentry "Try or Install Ubuntu Server" {
	set gfxpayload=keep
	linux	/casper/vmlinuz  ---
	initrd	/casper/initrd
}
menuentry "Ubuntu Server with the HWE kernel" {
	set gfxpayload=keep
	linux	/casper/hwe-vmlinuz  ---
	initrd	/casper/hwe-initrd
}
grub_platform
if [ "$grub_platform" = "efi" ]; then
menuentry 'Boot from next volume' {
	exit 1
}
fi
`

export interface IsoOptions {
  /** amd64 where it is not given; arm64 boots by UEFI alone. */
  architecture?: 'amd64' | 'arm64'
  /** What `/.disk/info` says; an Ubuntu server of 24.04 where it is not given. */
  about?: string
  menu?: string
  /** A kernel and an initial file system, and GRUB for UEFI and BIOS: without them the image has all records and boots nothing. */
  boot?: { kernel: string; initrd: string; efi: string; legacy: { bios: string; mbr: string } | undefined }
  /** Bytes of a file that stands for the file systems of the installer. */
  payloadBytes?: number
}

/** Writes a hybrid image with the boot records of Ubuntu's live-server images: BIOS and UEFI, CD and disk. */
export async function makeUbuntuShapedIso(target: string, options: IsoOptions = {}): Promise<void> {
  const { architecture = 'amd64', boot } = options
  const folder = await mkdtemp(join(tmpdir(), 'base-iso-'))
  try {
    const tree = join(folder, 'tree')
    for (const name of ['casper', 'boot/grub', '.disk']) await mkdir(join(tree, name), { recursive: true })
    const put = (name: string, content: string | Buffer) => writeFile(join(tree, name), content)
    await put(
      '.disk/info',
      options.about ?? `Ubuntu-Server 24.04.1 LTS "Noble Numbat" - Release ${architecture} (20240827.1)`,
    )
    await put('boot/grub/grub.cfg', options.menu ?? menu)
    await put('boot/grub/loopback.cfg', options.menu ?? menu)
    if (options.payloadBytes !== undefined) {
      await writeNoise(join(tree, 'casper/ubuntu-server-minimal.squashfs'), options.payloadBytes)
    }
    if (boot === undefined) {
      await put('casper/vmlinuz', 'a kernel')
      await put('casper/initrd', 'an initial file system')
    } else {
      await cp(boot.kernel, join(tree, 'casper/vmlinuz'))
      await cp(boot.initrd, join(tree, 'casper/initrd'))
    }
    const legacy = architecture === 'amd64' ? await putLegacyBoot(tree, boot?.legacy) : []
    await makeEfiPartition(join(folder, 'efi.img'), { program: boot?.efi, name: efiNames[architecture] })
    await put('md5sum.txt', await runProgram(['find', '.', '-type', 'f', '-exec', 'md5sum', '{}', '+'], tree))
    await runProgram(['xorriso', '-as', 'mkisofs', ...recordsOf(architecture, legacy), '-o', target, 'tree'], folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Gives the options that make it boot by BIOS. */
async function putLegacyBoot(tree: string, boot: { bios: string; mbr: string } | undefined): Promise<string[]> {
  await mkdir(join(tree, 'boot/grub/i386-pc'))
  const image = join(tree, 'boot/grub/i386-pc/eltorito.img')
  if (boot === undefined) await writeFile(image, noise(32 * 1024, 7))
  else await cp(boot.bios, image)
  const mbr = boot?.mbr ?? join(tree, '..', 'mbr.img')
  if (boot === undefined) await writeFile(mbr, noise(440, 3))
  return [
    ...['--grub2-mbr', mbr, '--protective-msdos-label', '--mbr-force-bootable'],
    ...['-b', '/boot/grub/i386-pc/eltorito.img', '-no-emul-boot', '-boot-load-size', '4', '-boot-info-table'],
    ...['--grub2-boot-info', '-eltorito-alt-boot'],
  ]
}

const efiNames = { amd64: 'BOOTX64.EFI', arm64: 'BOOTAA64.EFI' } as const

/** The options that Ubuntu's 24.04 live-server images report about themselves. */
function recordsOf(architecture: 'amd64' | 'arm64', legacy: readonly string[]): string[] {
  return [
    ...['-r', '-J', '-joliet-long', '-V', `Ubuntu-Server 24.04.1 LTS ${architecture}`],
    ...['--modification-date=2024082715401900', '-partition_offset', '16'],
    ...['-append_partition', '2', '28732ac11ff8d211ba4b00a0c93ec93b', 'efi.img', '-appended_part_as_gpt'],
    ...['-iso_mbr_part_type', 'a2a0d0ebe5b9334487c068b6b72699c7', '-c', '/boot.catalog', ...legacy],
    ...['-e', '--interval:appended_partition_2:::', '-no-emul-boot'],
  ]
}

async function makeEfiPartition(
  image: string,
  { program, name }: { program: string | undefined; name: string },
): Promise<void> {
  await writeFile(image, '')
  await truncate(image, 5 * 1024 * 1024)
  await runProgram(['mkfs.vfat', '--invariant', image])
  const file = program ?? `${image}.program`
  if (program === undefined) await writeFile(file, noise(64 * 1024, 5))
  await runProgram(['mmd', '-i', image, '::/EFI', '::/EFI/BOOT'])
  await runProgram(['mcopy', '-i', image, file, `::/EFI/BOOT/${name}`])
}

export interface DiskOptions {
  table: 'mbr' | 'gpt'
  /** An image that writes another one onto the device has labels of its own. */
  flasher?: boolean
  /** Bytes of the partition for data; 12 MiB where it is not given. */
  dataBytes?: number
  /** What config.json holds; none is there with null. */
  config?: string | null
  /** What this folder holds comes to lie on the boot partition. */
  bootFolder?: string
}

const mib = 1024 * 1024

/**
 * Writes the image of a disk as balenaOS has it: FAT for booting, ext4 for two roots, state and data; in a master boot
 * record the last two are logical partitions.
 */
export async function makeDiskImage(target: string, options: DiskOptions): Promise<void> {
  const prefix = options.flasher === true ? 'flash' : 'resin'
  const dataMib = Math.ceil((options.dataBytes ?? 12 * mib) / mib)
  // Room for a kernel where there is something to boot.
  const bootMib = options.bootFolder === undefined ? 16 : 64
  const extendedMib = bootMib + 28
  // Logical partitions lie 1 MiB behind their records.
  const partitions = [
    { name: `${prefix}-boot`, startMib: 4, sizeMib: bootMib },
    { name: `${prefix}-rootA`, startMib: bootMib + 4, sizeMib: 12 },
    { name: `${prefix}-rootB`, startMib: bootMib + 16, sizeMib: 12 },
    { name: `${prefix}-state`, startMib: bootMib + 30, sizeMib: 12 },
    { name: `${prefix}-data`, startMib: bootMib + 44, sizeMib: dataMib },
  ]
  const folder = await mkdtemp(join(tmpdir(), 'base-disk-'))
  try {
    await writeFile(target, '')
    await truncate(target, (bootMib + 46 + dataMib) * mib)
    const lines = partitions.map(({ name, startMib, sizeMib }, index) => {
      const place = `start=${startMib * 2048}, size=${sizeMib * 2048}`
      if (options.table === 'gpt')
        return `${index + 1} : ${place}, name="${name}", uuid=00000000-0000-4000-8000-00000000000${index}`
      return `${index < 3 ? index + 1 : index + 2} : ${place}, type=${index === 0 ? 'c' : '83'}`
    })
    const extended =
      options.table === 'mbr' ? [`4 : start=${extendedMib * 2048}, size=${(16 + dataMib) * 2048}, type=f`] : []
    const label =
      options.table === 'mbr'
        ? ['label: dos', 'label-id: 0x12345678']
        : ['label: gpt', 'label-id: 00000000-0000-4000-8000-000000000009']
    const script = join(folder, 'table')
    await writeFile(
      script,
      [...label, 'unit: sectors', ...lines.slice(0, 3), ...extended, ...lines.slice(3), ''].join('\n'),
    )
    await partition(target, script)
    for (const { name, startMib, sizeMib } of partitions) {
      const image = join(folder, name)
      await writeFile(image, '')
      await truncate(image, sizeMib * mib)
      if (name.endsWith('-boot')) await fillBoot(image, name, { folder, options })
      else await runProgram(['mkfs.ext4', '-q', '-L', name, image])
      await runProgram([
        'dd',
        `if=${image}`,
        `of=${target}`,
        'bs=1M',
        `seek=${startMib}`,
        'conv=notrunc,sparse',
        'status=none',
      ])
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function fillBoot(
  image: string,
  label: string,
  { folder, options }: { folder: string; options: DiskOptions },
): Promise<void> {
  await runProgram(['mkfs.vfat', '-n', label.toUpperCase(), '--invariant', image])
  await runProgram(['mmd', '-i', image, '::/system-connections'])
  for (const name of options.bootFolder === undefined ? [] : await readdir(options.bootFolder)) {
    await runProgram(['mcopy', '-s', '-i', image, join(options.bootFolder ?? '', name), '::/'])
  }
  if (options.config === null) return
  const file = join(folder, 'config.json')
  await writeFile(file, options.config ?? '{"deviceType":"raspberrypi4-64","persistentLogging":false}')
  await runProgram(['mcopy', '-i', image, file, '::/config.json'])
}

/** sfdisk reads the table from its standard input. */
async function partition(target: string, script: string): Promise<void> {
  const child = spawn('sfdisk', ['--quiet', '--no-reread', '--no-tell-kernel', target], {
    env: { PATH: path, LC_ALL: 'C' },
    stdio: ['pipe', 'ignore', 'inherit'],
  })
  const file = await open(script)
  const ended = new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', resolve)
  })
  await pipeline(file.createReadStream(), child.stdin)
  if ((await ended) !== 0) throw new Error('sfdisk failed')
}

/** Bytes that no program compresses much, the same at every run. */
function noise(sizeBytes: number, seed: number): Buffer {
  const bytes = Buffer.alloc(sizeBytes)
  let state = seed
  for (let at = 0; at < sizeBytes; at += 1) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    bytes[at] = state >>> 24
  }
  return bytes
}

async function writeNoise(file: string, sizeBytes: number): Promise<void> {
  const chunk = noise(mib, 11)
  await pipeline(async function* () {
    for (let done = 0; done < sizeBytes; done += chunk.length) {
      chunk.writeUInt32LE(done / mib, 0)
      yield Buffer.from(chunk.subarray(0, Math.min(chunk.length, sizeBytes - done)))
    }
  }, createWriteStream(file))
}

function isInstalled(program: string): boolean {
  return path.split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

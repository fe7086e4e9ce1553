import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Architecture, missingBootParts } from './boot-files.ts'
import { requireParts } from './parts.ts'
import { startProgram } from './process.ts'
import { temporaryFolder, waitFor } from './wait.ts'

/** Throws, naming the packages, unless guests can be booted here. */
export function requireGuests(architecture: Architecture = 'amd64'): void {
  requireParts([machines[architecture].program, 'grub-mkimage', 'xorriso', 'mcopy', 'mkfs.vfat', 'busybox'])
  const missing = missingBootParts(architecture)
  if (missing !== undefined) throw new Error(`This test needs: ${missing}`)
}

export type Firmware = 'bios' | 'uefi'
export type Medium = 'cd' | 'disk'

/** The machines that are emulated, in software alone. */
const machines = {
  amd64: {
    program: 'qemu-system-x86_64',
    board: ['-machine', 'pc'],
    cd: ['-device', 'ide-cd,drive=boot,bootindex=0'],
    firmware: { bios: [], uefi: ['-bios', '/usr/share/ovmf/OVMF.fd'] },
  },
  arm64: {
    program: 'qemu-system-aarch64',
    // A simple processor is emulated faster than one that signs its pointers.
    board: ['-machine', 'virt', '-cpu', 'cortex-a57'],
    cd: ['-device', 'virtio-scsi-pci', '-device', 'scsi-cd,drive=boot,bootindex=0'],
    firmware: { uefi: ['-bios', '/usr/share/qemu-efi-aarch64/QEMU_EFI.fd'] },
  },
} as const satisfies Record<
  Architecture,
  { program: string; board: string[]; cd: string[]; firmware: Partial<Record<Firmware, string[]>> }
>

/** A disk that a guest writes its report to: a serial line loses characters now and then. */
const reportBytes = 64 * 1024

export interface GuestOptions {
  architecture?: Architecture
  firmware: Firmware
  medium: Medium
  until?: RegExp
  timeoutMs?: number
}

/**
 * Boots an image in an emulated machine without a network, and gives what it said on its serial line and in its report until
 * `until` came on the line, or it ended. The machine is gone afterwards.
 */
export async function bootGuest(
  image: string,
  { architecture = 'amd64', firmware, medium, until, timeoutMs = 400_000 }: GuestOptions,
): Promise<string> {
  const machine = machines[architecture]
  const starts: Partial<Record<Firmware, readonly string[]>> = machine.firmware
  const start = starts[firmware]
  if (start === undefined) throw new Error(`A machine of ${architecture} has no ${firmware}.`)
  const drive = {
    cd: ['-drive', `file=${image},if=none,id=boot,media=cdrom,readonly=on,format=raw`, ...machine.cd],
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
    ...[machine.program, '-accel', 'tcg', ...machine.board, '-m', '512', '-nic', 'none', '-no-reboot'],
    ...['-display', 'none', '-vga', 'none', '-monitor', 'none', '-serial', 'stdio', ...start, ...drive],
    ...['-drive', `file=${report},if=none,id=report,format=raw`],
    ...['-device', 'virtio-blk-pci,drive=report,serial=report'],
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

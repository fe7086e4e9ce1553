import { FreeholdError } from '@freehold/contracts'
import type { LocalBase } from '../base/cache.ts'
import type { BuildContext } from '../context.ts'
import { streamTool } from '../tools/run.ts'
import type { IsoVolume } from './inspect.ts'

/** A file to be put into the image, in place of one that may be there. */
export interface IsoChange {
  /** Absolute, inside the image. */
  path: string
  /** Name inside the workspace. */
  name: string
}

/**
 * The image with these files put into it, as a stream: every boot record is made again as it was (BIOS and UEFI, CD
 * and disk), every identifier stays, and dates are the base's or the configuration's, so that the bytes depend on
 * nothing else. Needs no place on disk.
 */
export function repackIso(
  base: LocalBase,
  options: { volume: IsoVolume; changes: readonly IsoChange[] },
  context: Pick<BuildContext, 'tools'>,
): AsyncGenerator<Buffer> {
  const { volume, changes } = options
  const date = `=${context.tools.epochSeconds}`
  const touched = [...new Set(changes.flatMap(({ path }) => [path, ...foldersAbove(path)]))].toSorted()
  const args = [
    '-no_rc',
    // Descriptor 3 is a pipe: written from the first byte to the last, nothing comes to lie on disk.
    ...['-outdev', 'stdio:/dev/fd/3', '-report_about', 'WARNING', '-abort_on', 'FAILURE', '-md5', 'off'],
    ...['-indev', base.name, '-boot_image', 'any', 'replay'],
    // Identifiers of the partition table follow from the volume's, which replay has set as it was.
    ...['-boot_image', 'any', 'gpt_disk_guid=volume_date_uuid', '-volume_date', 'all_file_dates', 'set_to_mtime'],
    ...(volume.hasJoliet ? ['-joliet', 'on', '-compliance', 'joliet_long_names:joliet_long_paths'] : []),
    // The padding that xorriso adds stays: firmware reads a CD ahead of what it is asked for.
    ...['-overwrite', 'on'],
    ...changes.flatMap(({ path, name }) => ['-map', name, path]),
    ...[
      '-chown',
      '0',
      ...changes.map(({ path }) => path),
      '--',
      '-chgrp',
      '0',
      ...changes.map(({ path }) => path),
      '--',
    ],
    ...['-chmod', '0444', ...changes.map(({ path }) => path), '--'],
    ...['-alter_date', 'b', date, ...touched, '--', '-commit'],
  ]
  return streamTool({ program: 'xorriso', args, channel: 'descriptor-3' }, context.tools)
}

/** Every folder that holds the path, the root last. */
function foldersAbove(path: string): string[] {
  const parts = path.split('/').slice(1, -1)
  if (parts.some((part) => part === '' || part === '.' || part === '..')) {
    throw new FreeholdError('invalid-input', `${path} is no path inside an image.`)
  }
  return ['/', ...parts.map((_, index) => `/${parts.slice(0, index + 1).join('/')}`)]
}

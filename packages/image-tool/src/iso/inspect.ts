import { lstat, open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { FreeholdError } from '@freehold/contracts'
import type { LocalBase } from '../base/cache.ts'
import type { BuildContext } from '../context.ts'
import { runTool } from '../tools/run.ts'

/** What an ISO 9660 image says about itself in its volume descriptors (ECMA-119 section 8). */
export interface IsoVolume {
  volumeBytes: number
  hasJoliet: boolean
}

const sectorBytes = 2048
const firstDescriptor = 16
const longestTextBytes = 4 * 1024 * 1024

/** Throws `invalid-input` where the file is no ISO image, or ends before the image does. */
export async function readIsoVolume(path: string): Promise<IsoVolume> {
  const file = await open(path, 'r')
  try {
    const descriptors = Buffer.alloc(16 * sectorBytes)
    const { bytesRead } = await file.read(descriptors, 0, descriptors.length, firstDescriptor * sectorBytes)
    if (bytesRead < sectorBytes || descriptors.toString('latin1', 1, 6) !== 'CD001' || descriptors[0] !== 1) {
      throw new FreeholdError('invalid-input', 'The base image is not an ISO 9660 image.')
    }
    const volumeBytes = descriptors.readUInt32LE(80) * sectorBytes
    const { size } = await file.stat()
    if (size < volumeBytes) {
      throw new FreeholdError(
        'invalid-input',
        `The base image is truncated: it has ${size} bytes of ${volumeBytes}. Download it again.`,
      )
    }
    return { volumeBytes, hasJoliet: hasJolietDescriptor(descriptors.subarray(0, bytesRead)) }
  } finally {
    await file.close()
  }
}

function hasJolietDescriptor(descriptors: Buffer): boolean {
  for (let at = 0; at + sectorBytes <= descriptors.length; at += sectorBytes) {
    const type = descriptors[at]
    if (type === 255 || descriptors.toString('latin1', at + 1, at + 6) !== 'CD001') return false
    if (type === 2 && /^%\/[@CE]/.test(descriptors.toString('latin1', at + 88, at + 91))) return true
  }
  return false
}

/** Files of the base that are read, where they are there, and how it boots. */
export interface IsoContents {
  texts: Map<string, string>
  /** Files that boot, as El Torito names them; a partition that boots is none of them. */
  bootFiles: string[]
  boots: boolean
}

/** Takes these files out of the image. Throws what xorriso says about an image it cannot read. */
export async function readIsoContents(
  base: LocalBase,
  paths: readonly string[],
  context: BuildContext,
): Promise<IsoContents> {
  const names = new Map(paths.map((path, index) => [path, `extracted-${index}`]))
  const report = await runTool(
    {
      program: 'xorriso',
      args: [
        ...['-no_rc', '-report_about', 'FAILURE', '-abort_on', 'FATAL', '-return_with', 'FATAL', '32'],
        ...['-osirrox', 'on', '-indev', base.name, '-report_el_torito', 'as_mkisofs'],
        ...[...names].flatMap(([path, name]) => ['-extract', path, name]),
      ],
    },
    context.tools,
  )
  const texts = new Map<string, string>()
  for (const [path, name] of names) {
    const file = join(context.workspace, name)
    // A link stays a link when it is taken out, and would lead to files of this machine.
    const found = await lstat(file).catch(() => undefined)
    if (found === undefined || !found.isFile()) continue
    if (found.size > longestTextBytes) throw new FreeholdError('invalid-input', `${path} of the base is too large.`)
    texts.set(path, await readFile(file, 'utf8'))
  }
  const bootFiles = [...report.matchAll(/^-[be] '(\/.*)'$/gm)].map(([, path = '']) => path)
  return { texts, bootFiles, boots: /^-[be] /m.test(report) }
}

import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { FreeholdError } from '@freehold/contracts'

/** Every program the tool starts, with the Debian package that brings it. The one list of what must be installed. */
export const packageOfProgram = {
  xorriso: 'xorriso',
  mcopy: 'mtools',
  mmd: 'mtools',
  debugfs: 'e2fsprogs',
  xz: 'xz-utils',
} as const
export type Program = keyof typeof packageOfProgram

/** The search path with the folders of system programs, which a user's own path may lack. */
export function systemSearchPath(path = process.env.PATH ?? ''): string {
  return [...path.split(delimiter).filter((folder) => folder !== ''), '/usr/local/sbin', '/usr/sbin', '/sbin'].join(
    delimiter,
  )
}

/** Which of these programs are not on the search path. */
export async function missingPrograms(programs: readonly Program[], searchPath: string): Promise<Program[]> {
  const found = await Promise.all(programs.map((program) => isOnPath(program, searchPath)))
  return programs.filter((_, index) => !found[index])
}

/** Throws `unavailable`, naming the packages to install, unless all these programs are there. */
export async function requirePrograms(programs: readonly Program[], searchPath: string): Promise<void> {
  const missing = await missingPrograms(programs, searchPath)
  if (missing.length > 0) throw missingProgramError(missing)
}

export function missingProgramError(missing: readonly Program[]): FreeholdError {
  const packages = [...new Set(missing.map((program) => packageOfProgram[program]))]
  return new FreeholdError(
    'unavailable',
    `${missing.join(', ')} ${missing.length === 1 ? 'is' : 'are'} not installed, which this image needs. Install with: apt-get install --no-install-recommends ${packages.join(' ')}`,
  )
}

async function isOnPath(program: string, searchPath: string): Promise<boolean> {
  for (const folder of searchPath.split(delimiter)) {
    try {
      await access(join(folder, program), constants.X_OK)
      return true
    } catch {
      // The next folder may have it.
    }
  }
  return false
}

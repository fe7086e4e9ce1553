import { readdir, readFile } from 'node:fs/promises'
import { join, posix } from 'node:path'
import { FreeholdError } from '@freehold/contracts'
import { z } from 'zod'
import type { ArchiveEntry } from './tar.ts'

export interface Library {
  name: string
  version: string
  license: string
  /** Where it lies, from the root of the installation. */
  folder: string
  /** What of it runs, from the root of the installation. */
  files: string[]
}

const lockSchema = z.object({
  packages: z.record(
    z.string(),
    z.object({
      version: z.string().optional(),
      license: z.string().optional(),
      dependencies: z.record(z.string(), z.string()).optional(),
    }),
  ),
})
type Locked = z.output<typeof lockSchema>['packages']

/** The libraries that a package of ours runs with, and theirs, as the lock file has them, found as Node finds them. */
export async function librariesOf(installation: string, folder: string): Promise<Library[]> {
  const { packages } = lockSchema.parse(JSON.parse(await readFile(join(installation, 'package-lock.json'), 'utf8')))
  const found = new Map<string, Library>()
  const walk = async (from: string): Promise<void> => {
    for (const name of Object.keys(packages[from]?.dependencies ?? {})) {
      if (name.startsWith('@freehold/')) continue
      const place = placeOf(packages, { name, from })
      if (found.has(place)) continue
      const { version = '', license = 'see its package.json' } = packages[place] ?? {}
      const library = { name, version, license, folder: place, files: await filesOf(installation, place) }
      found.set(place, library)
      await walk(place)
    }
  }
  await walk(folder)
  return [...found.values()]
}

/** The licence text of a library, or what it declares where it brings none. */
export async function licenseOf(installation: string, library: Library): Promise<ArchiveEntry> {
  const names = await readdir(join(installation, library.folder))
  const name = names.toSorted().find((each) => /^licen[cs]e(\.(md|txt))?$/i.test(each))
  const bytes =
    name === undefined
      ? Buffer.from(`${library.name} ${library.version}: ${library.license}\n`)
      : await readFile(join(installation, library.folder, name))
  return { path: `LICENSES/${library.name.replace('/', '-')}-${library.version}.txt`, mode: 0o644, bytes }
}

/** A library of another one's own comes before the common one. */
function placeOf(packages: Locked, { name, from }: { name: string; from: string }): string {
  const parents = from.split('/').map((_, index, parts) => parts.slice(0, parts.length - index).join('/'))
  const places = [...parents, ''].map((parent) => posix.join(parent, 'node_modules', name))
  const place = places.find((each) => packages[each] !== undefined)
  if (place !== undefined) return place
  throw new FreeholdError('unavailable', `package-lock.json does not have ${name}: run npm install and try again.`)
}

/** Types, maps and prose do not run. */
async function filesOf(installation: string, folder: string): Promise<string[]> {
  const walk = async (path: string): Promise<string[]> => {
    const entries = await readdir(join(installation, path), { withFileTypes: true })
    const lists = await Promise.all(
      entries.map(async (entry) => {
        const below = posix.join(path, entry.name)
        if (entry.isDirectory()) return entry.name === 'node_modules' ? [] : await walk(below)
        return entry.isFile() && /\.(c|m)?js$|\.json$/.test(entry.name) ? [below] : []
      }),
    )
    return lists.flat()
  }
  try {
    return await walk(folder)
  } catch (cause) {
    throw new FreeholdError('unavailable', `${folder} is not installed: run npm install and try again.`, { cause })
  }
}

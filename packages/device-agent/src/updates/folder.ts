import { dirname, join } from 'node:path'
import { createHash, mkdir, open, readdir, readFile, rename, rm } from '../builtin.ts'

/**
 * Metadata and manifests as they lie beside the state file. What always holds, whatever byte the power goes at:
 *
 * 1. A file is written beside, synced and renamed: it is the old one or the new one.
 * 2. The two newest roots stay, and the first one for ever, so that one damaged root is not the end of trust.
 * 3. The library works on copies in `scratch`; what it wrote there comes here once all of it was judged.
 */
export interface UpdatesFolder {
  /** `anchor.json`: the first root. */
  firstRoot(): Promise<string | null>
  keepFirstRoot(text: string): Promise<void>
  /** Newest first. */
  roots(): Promise<string[]>
  keepRoot(version: number, text: string): Promise<void>
  /** All but the first root: trust begins anew. */
  forget(): Promise<void>
  /** An empty folder for the library, with what is kept of these roles in it. */
  openScratch(root: string): Promise<string>
  readScratch(name: string): Promise<string | null>
  closeScratch(): Promise<void>
  /** From `scratch`, for the next time. */
  keepRole(role: 'timestamp' | 'snapshot' | 'targets'): Promise<void>
  /** Null: not here, or damaged. */
  manifest(sha256: string): Promise<string | null>
  keepManifest(sha256: string, text: string): Promise<void>
  /** Manifests of other hashes go. */
  dropManifestsBut(sha256s: readonly string[]): Promise<void>
}

const roles = ['timestamp', 'snapshot', 'targets'] as const

export function openUpdatesFolder(path: string): UpdatesFolder {
  const at = (...names: string[]) => join(path, ...names)
  const rootVersions = async () =>
    (await namesIn(at('roots')))
      .flatMap((name) => {
        const version = /^([1-9]\d{0,8})\.root\.json$/.exec(name)?.[1]
        return version === undefined ? [] : [Number(version)]
      })
      .toSorted((one, other) => other - one)
  return {
    firstRoot: () => textIn(at('anchor.json')),
    keepFirstRoot: (text) => replaceFile(at('anchor.json'), text),
    roots: async () => {
      const texts = await Promise.all(
        (await rootVersions()).map((version) => textIn(at('roots', `${version}.root.json`))),
      )
      return texts.flatMap((text) => (text === null ? [] : [text]))
    },
    keepRoot: async (version, text) => {
      await replaceFile(at('roots', `${version}.root.json`), text)
      for (const older of (await rootVersions()).filter((other) => other < version).slice(1)) {
        await rm(at('roots', `${older}.root.json`), { force: true })
      }
    },
    forget: async () => {
      for (const name of ['roots', ...roles.map((role) => `${role}.json`)]) {
        await rm(at(name), { recursive: true, force: true })
      }
    },
    openScratch: async (root) => {
      await rm(at('scratch'), { recursive: true, force: true })
      await replaceFile(at('scratch', 'root.json'), root)
      for (const role of roles) {
        const text = await textIn(at(`${role}.json`))
        if (text !== null) await replaceFile(at('scratch', `${role}.json`), text)
      }
      return at('scratch')
    },
    readScratch: (name) => textIn(at('scratch', name)),
    closeScratch: () => rm(at('scratch'), { recursive: true, force: true }),
    keepRole: async (role) => {
      const text = await textIn(at('scratch', `${role}.json`))
      if (text !== null && text !== (await textIn(at(`${role}.json`)))) await replaceFile(at(`${role}.json`), text)
    },
    manifest: (sha256) => readManifestFile(path, sha256),
    keepManifest: (sha256, text) => replaceFile(at('manifests', `${sha256}.json`), text),
    dropManifestsBut: async (sha256s) => {
      for (const name of await namesIn(at('manifests'))) {
        if (!sha256s.some((sha256) => name === `${sha256}.json`)) await rm(at('manifests', name), { force: true })
      }
    },
  }
}

/** A manifest that was verified before; null: not here, or damaged since. */
export async function readManifestFile(path: string, sha256: string): Promise<string | null> {
  const text = await textIn(join(path, 'manifests', `${sha256}.json`))
  return text !== null && sha256Of(text) === sha256 ? text : null
}

export function sha256Of(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

async function textIn(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

async function namesIn(path: string): Promise<string[]> {
  try {
    return await readdir(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

async function replaceFile(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const file = await open(`${path}.new`, 'w', 0o600)
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(`${path}.new`, path)
  const folder = await open(dirname(path), 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BuildOptions, type BuiltImage, buildImage } from './build.ts'
import { parseConfig } from './config/load.ts'
import { readIsoVolume } from './iso/inspect.ts'
import { repackIso } from './iso/repack.ts'
import { fileSink } from './output.ts'
import { systemSearchPath } from './tools/programs.ts'

/** A folder to build images in, with all that a build writes below it. */
export interface Workbench extends AsyncDisposable {
  folder: string
  build(config: Record<string, unknown>, options?: Partial<BuildOptions>): Promise<BuiltImage>
  /** Everything that builds left: temporary folders, and images begun. Empty when they tidied up. */
  leftovers(): Promise<string[]>
}

export async function createWorkbench(): Promise<Workbench> {
  const folder = await mkdtemp(join(tmpdir(), 'image-tool-test-'))
  const workFolder = join(folder, 'work')
  await mkdir(workFolder)
  return {
    folder,
    build: async (config, options) =>
      buildImage({
        config: parseConfig({ version: 1, ...config }),
        folder,
        cacheFolder: join(folder, 'cache'),
        workFolder,
        ...options,
      }),
    async leftovers() {
      const names = await readdir(folder)
      return [...(await readdir(workFolder)), ...names.filter((name) => name.endsWith('.partial'))]
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  }
}

/** A folder to look for programs in, that holds these scripts and what else is named. */
export async function fakePrograms(folder: string, scripts: Record<string, string>): Promise<string> {
  const path = join(folder, `programs-${Object.keys(scripts).join('-')}`)
  await mkdir(path, { recursive: true })
  for (const [name, script] of Object.entries(scripts)) {
    await writeFile(join(path, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
  }
  return path
}

/**
 * Puts files into an image that is none of Ubuntu's: what keeps its boot records must not depend on what it is.
 */
export async function repackForeign(
  base: string,
  { target, files }: { target: string; files: Record<string, string> },
): Promise<void> {
  const signal = new AbortController().signal
  const folder = await mkdtemp(join(tmpdir(), 'image-tool-foreign-'))
  try {
    await symlink(base, join(folder, 'base'))
    const tools = {
      folder,
      searchPath: systemSearchPath(),
      epochSeconds: 0,
      signal,
      timeoutMs: 60_000,
      stallMs: 60_000,
    }
    const changes = await Promise.all(
      Object.entries(files).map(async ([path, text], index) => {
        await writeFile(join(folder, `file-${index}`), text)
        return { path, name: `file-${index}` }
      }),
    )
    const volume = await readIsoVolume(base)
    await fileSink(target)(repackIso({ name: 'base', sha256: '', sizeBytes: 0 }, { volume, changes }, { tools }), {
      filename: 'foreign.iso',
      contentType: 'application/x-iso9660-image',
      estimateBytes: null,
    })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** A key of the right form; its secret half never was. */
export const sshKey =
  'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1nqJ9Xz0L8cRfUu1m1pYb0Zz6b0q0sW9bqgkq5T2dR operator@example'

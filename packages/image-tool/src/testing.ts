import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BuildOptions, type BuiltImage, buildImage } from './build.ts'
import { parseConfig } from './config/load.ts'

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

/** A key of the right form; its secret half never was. */
export const sshKey =
  'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1nqJ9Xz0L8cRfUu1m1pYb0Zz6b0q0sW9bqgkq5T2dR operator@example'

import { mkdir, mkdtemp, readdir, rm, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { FreeholdError } from '@freehold/contracts'

const prefix = 'image-build-'
const forgottenAfterMs = 48 * 3600 * 1000

/**
 * Runs `work` in a new folder below `parent` and removes it whatever happens. Folders of builds whose process is gone
 * are removed first.
 */
export async function withWorkspace<Result>(
  parent: string,
  work: (folder: string) => Promise<Result>,
): Promise<Result> {
  await mkdir(parent, { recursive: true })
  await sweep(parent)
  const folder = await mkdtemp(join(parent, `${prefix}${process.pid}-`))
  try {
    return await work(folder)
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 3 })
  }
}

async function sweep(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const pid = new RegExp(`^${prefix}(\\d+)-`).exec(name)?.[1]
    if (pid === undefined || Number(pid) === process.pid) continue
    const folder = join(parent, name)
    const since = await stat(folder).then(
      ({ mtimeMs }) => mtimeMs,
      () => undefined,
    )
    if (since === undefined) continue
    if (isAlive(Number(pid)) && Date.now() - since < forgottenAfterMs) continue
    await rm(folder, { recursive: true, force: true })
  }
}

/** Whether a process of this machine has that id. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** Bytes that an unprivileged user may still write to the file system of `folder`. */
export async function freeBytesOf(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder)
  return bavail * bsize
}

/** An amount that will be written below a folder. */
export interface Need {
  folder: string
  sizeBytes: number
  what: string
}

/** Some room that every file system keeps beyond what is counted: tables, folders, small files. */
const slackBytes = 16 * 1024 * 1024

/** Throws `storage-full` unless every file system has room for all that will be written to it. */
export async function requireSpace(
  needs: readonly Need[],
  freeBytes: (folder: string) => Promise<number>,
): Promise<void> {
  const perDevice = new Map<number, Need[]>()
  for (const need of needs) {
    await mkdir(need.folder, { recursive: true })
    const { dev } = await stat(need.folder)
    perDevice.set(dev, [...(perDevice.get(dev) ?? []), need])
  }
  for (const together of perDevice.values()) {
    const neededBytes = together.reduce((sum, { sizeBytes }) => sum + sizeBytes, slackBytes)
    const folder = together[0]?.folder ?? '.'
    const free = await freeBytes(folder)
    if (free >= neededBytes) continue
    const list = together.map(({ what, sizeBytes }) => `${megabytes(sizeBytes)} for ${what}`).join(', ')
    throw new FreeholdError(
      'storage-full',
      `${folder} has ${megabytes(free)} free and the build needs ${megabytes(neededBytes)} (${list}). Free space, or choose another folder.`,
    )
  }
}

function megabytes(sizeBytes: number): string {
  return `${Math.ceil(sizeBytes / 1_000_000)} MB`
}

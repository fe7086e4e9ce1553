import { join } from 'node:path'

const fs = process.getBuiltinModule('node:fs').promises

/** One thing that a disk does: `onStep` hears of it before it happens, and may throw, as a power cut would. */
export type DiskStep = { kind: 'write' | 'sync' | 'rename' | 'sync-directory' | 'link' | 'remove'; path: string }

/**
 * Changes that survive a power cut, or did not happen: what is written is synced before it gets its name, and the
 * folder is synced after. Nothing else in this folder renames.
 */
export interface Disk {
  /** The file has the old or the new text, whenever the power goes. */
  writeText(path: string, text: string): Promise<void>
  /** The symbolic link leads to the old or the new target, whenever the power goes. */
  pointLink(path: string, target: string): Promise<void>
  /** A file or a folder with all that is in it; links in it are not followed. */
  remove(path: string): Promise<void>
  syncDirectory(path: string): Promise<void>
  /** Every folder below `path` and itself; files were synced when they were written. */
  syncTree(path: string): Promise<void>
}

export function createDisk(options: { onStep?: (step: DiskStep) => void } = {}): Disk {
  const { onStep = () => {} } = options
  const rename = async (from: string, to: string) => {
    onStep({ kind: 'rename', path: to })
    await fs.rename(from, to)
    await syncDirectory(join(to, '..'))
  }
  const syncDirectory = async (path: string) => {
    onStep({ kind: 'sync-directory', path })
    const handle = await fs.open(path, 'r')
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  }
  const syncTree = async (path: string) => {
    for (const entry of await fs.readdir(path, { withFileTypes: true })) {
      if (entry.isDirectory()) await syncTree(join(path, entry.name))
    }
    await syncDirectory(path)
  }
  return {
    async writeText(path, text) {
      const draft = `${path}.next`
      onStep({ kind: 'write', path: draft })
      const handle = await fs.open(draft, 'w', 0o600)
      try {
        await handle.writeFile(text)
        onStep({ kind: 'sync', path: draft })
        await handle.sync()
      } finally {
        await handle.close()
      }
      await rename(draft, path)
    },
    async pointLink(path, target) {
      const draft = `${path}.next`
      await fs.rm(draft, { force: true })
      onStep({ kind: 'link', path: draft })
      await fs.symlink(target, draft)
      await rename(draft, path)
    },
    async remove(path) {
      onStep({ kind: 'remove', path })
      await fs.rm(path, { recursive: true, force: true })
      await syncDirectory(join(path, '..'))
    },
    syncDirectory,
    syncTree,
  }
}

/** Null where there is no such file. Throws where it is larger than `limitBytes`. */
export async function readSmall(path: string, limitBytes = 64 * 1024): Promise<string | null> {
  let handle: Awaited<ReturnType<typeof fs.open>>
  try {
    handle = await fs.open(path, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(limitBytes + 1), 0, limitBytes + 1, 0)
    if (bytesRead > limitBytes) throw new Error(`${path} is larger than ${limitBytes} bytes.`)
    return buffer.toString('utf8', 0, bytesRead)
  } finally {
    await handle.close()
  }
}

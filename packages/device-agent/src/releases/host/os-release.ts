import { join } from 'node:path'
import { readSmall } from './disk.ts'
import { isVersion } from './version.ts'

const { lstat } = process.getBuiltinModule('node:fs').promises

/**
 * The os-release file of the system below `root` (os-release(5)); null where there is none. Only a file itself is read: a
 * link could lead to that of another system.
 */
export async function readOsRelease(root: string): Promise<string | null> {
  for (const place of ['usr/lib/os-release', 'etc/os-release']) {
    const path = join(root, place)
    const found = await lstat(path).catch(() => null)
    if (found?.isFile()) return readSmall(path)
  }
  return null
}

/** `VERSION_ID`, where it is a semantic version; null otherwise. */
export function versionIn(osRelease: string | null): string | null {
  const text = fieldIn(osRelease, 'VERSION_ID')
  return text !== null && isVersion(text) ? text : null
}

/** The value of an assignment, without its quotes. */
function fieldIn(osRelease: string | null, name: string): string | null {
  for (const line of (osRelease ?? '').split('\n')) {
    if (!line.startsWith(`${name}=`)) continue
    const value = line.slice(name.length + 1).trim()
    return /^(["']).*\1$/.test(value) ? value.slice(1, -1) : value
  }
  return null
}

import { isVersion } from './version.ts'

/** `VERSION_ID` of an os-release file (os-release(5)), where it is a semantic version; null otherwise. */
export function versionIn(osRelease: string | null): string | null {
  const text = fieldIn(osRelease, 'VERSION_ID')
  return text !== null && isVersion(text) ? text : null
}

/** The value of an assignment, without its quotes. */
export function fieldIn(osRelease: string | null, name: string): string | null {
  for (const line of (osRelease ?? '').split('\n')) {
    if (!line.startsWith(`${name}=`)) continue
    const value = line.slice(name.length + 1).trim()
    return /^(["']).*\1$/.test(value) ? value.slice(1, -1) : value
  }
  return null
}

import { join } from 'node:path'

const { lstat, stat } = process.getBuiltinModule('node:fs').promises

/**
 * How a container reaches the host it runs on. Either it shares the host's processes (`privileged: true` and
 * `pid: host`), so that the host's root lies at `/proc/1/root` and programs enter its namespaces by nsenter(1); or the
 * host's root is mounted into it, with everything below (`rbind`), and programs change their root to that by chroot(1).
 * Only the first can mount file systems that the host sees.
 */
export interface HostAccess {
  /** Where the host's files lie for this process. */
  root: string
  /** Put before the argument array of a program of the host. */
  prefix: readonly string[]
}

export const hostAccess = {
  namespaces: {
    root: '/proc/1/root',
    prefix: ['/usr/bin/nsenter', '--target', '1', '--mount', '--uts', '--ipc', '--net', '--'],
  },
  mounted: (root: string): HostAccess => ({ root, prefix: ['/usr/sbin/chroot', root] }),
} as const

/**
 * Whether a file of the host is there, be it a link; false too where the host's files may not be seen.
 */
export async function hasFile(access: HostAccess, path: string): Promise<boolean> {
  try {
    await lstat(join(access.root, path))
    return true
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) return false
    throw error
  }
}

/**
 * Why the host is out of reach, a sentence that says what to give the container; null: it is in reach. A container with
 * processes of its own finds itself at `/proc/1/root`: the same root as its own.
 */
export async function missingAccess(access: HostAccess): Promise<string | null> {
  const [own, other] = await Promise.all([identityOf('/'), identityOf(`${access.root}/`)])
  const advice = 'Give the container of the agent `privileged: true` and `pid: host`.'
  if (other === null) return `The host's files are not in reach at ${access.root}. ${advice}`
  if (own === other && access.root.startsWith('/proc/')) {
    return `The container has processes of its own, so ${access.root} is its own root. ${advice}`
  }
  const [program = ''] = access.prefix
  if (program !== '' && (await lstat(program).catch(() => null)) === null) {
    return `The agent's container lacks ${program}; use the image of this repository.`
  }
  return null
}

async function identityOf(path: string): Promise<string | null> {
  const found = await stat(path).catch(() => null)
  return found && `${found.dev}:${found.ino}`
}

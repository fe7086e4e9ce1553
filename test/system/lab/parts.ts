import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Programs the lab starts, each with the Debian package that brings it. */
const packageOf = {
  docker: 'docker.io',
  dockerd: 'docker.io',
  containerd: 'containerd',
  runc: 'runc',
  iptables: 'iptables',
  ip: 'iproute2',
  tini: 'tini',
  unshare: 'util-linux',
  nsenter: 'util-linux',
  busybox: 'busybox-static',
  chromium: 'chromium',
  skopeo: 'skopeo',
  podman: 'podman',
  buildah: 'buildah',
  ceph: 'ceph-common',
  'ceph-mon': 'ceph-mon',
  'ceph-osd': 'ceph-osd',
  radosgw: 'radosgw',
  strace: 'strace',
  'docker-registry': 'docker-registry',
  'qemu-system-x86_64': 'qemu-system-x86',
  'qemu-system-aarch64': 'qemu-system-arm',
  'grub-mkimage': 'grub-common',
  xorriso: 'xorriso',
  mcopy: 'mtools',
  git: 'git',
  curl: 'curl',
  openssl: 'openssl',
  'mkfs.vfat': 'dosfstools',
} as const
export type Part = keyof typeof packageOf

/** The search path with the folders of system programs, which a user's own path may lack. */
export const systemPath = [process.env.PATH ?? '', '/usr/local/sbin', '/usr/sbin', '/sbin'].join(delimiter)

/** Where the program lies, or undefined. */
export function findPart(part: string): string | undefined {
  return systemPath
    .split(delimiter)
    .map((folder) => join(folder, part))
    .find((path) => isExecutable(path))
}

/** Throws, naming the `apt-get` line, unless all these programs are installed. */
export function requireParts(parts: readonly Part[]): void {
  const missing = parts.filter((part) => findPart(part) === undefined)
  if (missing.length === 0) return
  const packages = [...new Set(missing.map((part) => packageOf[part]))]
  throw new Error(
    `This test needs ${missing.join(', ')}. Install with: apt-get install --no-install-recommends -y ${packages.join(' ')}`,
  )
}

/** Throws unless the tests run in namespaces of their own, where an engine can leave nothing behind. */
export function requireIsolation(): void {
  if (process.getuid?.() !== 0) throw new Error('This test starts a container engine and needs root.')
  if (process.env.FREEHOLD_LAB !== 'isolated') {
    throw new Error(
      'This test starts a container engine, which changes network and firewall. Run it in namespaces of its own: npm run test:system',
    )
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

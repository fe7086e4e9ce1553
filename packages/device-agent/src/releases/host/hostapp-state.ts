import { join } from 'node:path'
import { fieldsOf, parseJson, textOf } from '../../parse.ts'
import { readSmall } from './disk.ts'
import { type HostAccess, hasFile } from './host-access.ts'

const { readlink } = process.getBuiltinModule('node:fs').promises

/** Of balenaOS, as its sources have it (meta-balena 5: hostapp-update, 80-rollback, rollback-health, rollback-altboot). */
export const hostPaths = {
  update: '/usr/bin/hostapp-update',
  engineSocket: '/run/balena-host.sock',
  activeRoot: '/mnt/sysroot/active',
  inactiveRoot: '/mnt/sysroot/inactive',
  state: '/mnt/state',
} as const

/** What balenaOS tells of its own checks of a new root. */
export interface RollbackMarks {
  /** Its checks are under way: there since the update, gone when they were passed or it returned. */
  isChecking: boolean
  /** Why it returned; null: it did not. */
  returned: string | null
}

export async function readMarks(access: HostAccess): Promise<RollbackMarks> {
  const has = (name: string) => hasFile(access, join(hostPaths.state, name))
  const [health, altboot, healthTriggered, healthFailed, altbootTriggered] = await Promise.all([
    has('rollback-health-breadcrumb'),
    has('rollback-altboot-breadcrumb'),
    has('rollback-health-triggered'),
    has('rollback-health-failed'),
    has('rollback-altboot-triggered'),
  ])
  return { isChecking: health || altboot, returned: reasonOf({ healthTriggered, healthFailed, altbootTriggered }) }
}

function reasonOf(marks: Record<'healthTriggered' | 'healthFailed' | 'altbootTriggered', boolean>): string | null {
  if (marks.altbootTriggered) return 'The new root did not boot (rollback-altboot), so the host returned by itself.'
  if (marks.healthTriggered) return 'The host failed its own checks (rollback-health), and returned by itself.'
  if (marks.healthFailed) return 'The host failed its own checks (rollback-health-failed) and tried to return.'
  return null
}

/**
 * The image that the running host was made from, as its engine was told it: `repository@sha256:…`. `current` of the
 * active root leads to `hostapps/<container>`, and the engine keeps what a container was made from in its
 * `config.v2.json`. Null where the host was flashed, or does not tell.
 */
export async function readActiveImage(access: HostAccess): Promise<string | null> {
  const root = join(access.root, hostPaths.activeRoot)
  const target = await readlink(join(root, 'current')).catch(() => null)
  const container = /(?:^|\/)hostapps\/([0-9a-f]{64})\/?$/.exec(target ?? '')?.[1]
  if (container === undefined) return null
  const text = await readSmall(join(root, 'balena/containers', container, 'config.v2.json'), 1024 * 1024)
  return textOf(fieldsOf(fieldsOf(parseJson(text ?? '')).Config).Image, 600)
}

/** The digest in `repository@sha256:…`; null where it has none. */
export function digestIn(image: string | null): string | null {
  return /@(sha256:[0-9a-f]{64})$/.exec(image ?? '')?.[1] ?? null
}

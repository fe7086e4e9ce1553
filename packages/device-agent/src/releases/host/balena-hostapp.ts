import { join } from 'node:path'
import type { ReleaseManifest } from '@freehold/contracts'
import { FreeholdError } from '@freehold/contracts/lean'
import type { Clock } from '@freehold/reconcile'
import { mkdir, readFile, rm, statfs, writeFile } from '../../builtin.ts'
import { fieldsOf, flagOf, isFields, parseJson, textOf } from '../../parse.ts'
import type { Secret } from '../../secret.ts'
import { HostUpdateFailed, NoWayBack, type ReleaseDriver } from '../driver.ts'
import { createDisk, readSmall } from './disk.ts'
import { type HostAccess, hasFile, missingAccess } from './host-access.ts'
import type { HostHealth } from './host-health.ts'
import type { HostLocks } from './host-locks.ts'
import { digestIn, hostPaths, readActiveImage, readMarks } from './hostapp-state.ts'
import type { ImageSource } from './image.ts'
import { readOsRelease, versionIn } from './os-release.ts'
import { lastWords, type RunProgram } from './programs.ts'
import { refusalOfVersion } from './version.ts'

export interface BalenaHostappOptions {
  access: HostAccess
  /** The control plane, whose registry the host's engine pulls from. */
  registry: URL
  token: () => Secret | null
  source: ImageSource
  run: RunProgram
  locks: HostLocks
  clock: Clock
  /** Keeps what was asked for over restarts. */
  statePath: string
  /** Beyond what the host checks by itself; null: nothing. */
  checkHealth: ((signal: AbortSignal) => Promise<HostHealth>) | null
  /** Changes with every boot; the kernel's unless a test says otherwise. */
  bootId?: () => Promise<string>
}

const updateLimitMs = 45 * 60_000
const shortLimitMs = 120_000
/** The host's own checks: a minute, then up to 15 times a minute, and it may restart twice when it returns. */
const checksLimitMs = 30 * 60_000
const pollMs = 5_000
const credentialsFolder = '/run/freehold-host-update'

/** What was asked of the host, and from where it set out. */
interface Asked {
  releaseId: string
  digest: string
  before: string | null
  bootId: string
  /** `hostapp-update` succeeded: the next boot is the new root's. */
  isStaged: boolean
}

interface HostappState {
  asked: Asked | null
  committed: { releaseId: string; digest: string } | null
}

/**
 * Drives balenaOS's own `hostapp-update -i`. What always holds: what runs is read from the host, never from what was
 * asked; nothing is a success before the host has passed its own checks; the host returns by those whether the agent lives
 * or not; the node token is in a file that root alone reads, on a memory file system, for as long as the pull lasts.
 */
export function createBalenaHostappDriver(options: BalenaHostappOptions): ReleaseDriver {
  const { access, registry, source, run, locks, clock, statePath, checkHealth, bootId = kernelBootId } = options
  const disk = createDisk()
  const read = async () => parseState(await readSmall(statePath))
  const write = (state: HostappState) => disk.writeText(statePath, `${JSON.stringify(state)}\n`)
  const activeDigest = async () => digestIn(await readActiveImage(access))
  const onHost = (
    argv: readonly string[],
    limits: { timeLimitMs: number; signal: AbortSignal; environment?: Record<string, string> },
  ) => run([...access.prefix, ...argv], limits)

  const unsupported: ReleaseDriver['unsupported'] = async (manifest, _signal, asked) => {
    if (manifest.host === null) return 'The release holds no host.'
    const missing = (await missingAccess(access)) ?? (await missingParts(access)) ?? refusalOfRegistry(registry)
    if (missing !== null) return `Host updates are not supported here: ${missing}`
    const present = versionIn(await readOsRelease(access.root))
    const { minimumVersion: minimum } = manifest.host
    return refusalOfVersion({ present, target: manifest.version, minimum, force: asked?.force })
  }

  const running: ReleaseDriver['running'] = async () => {
    const [digest, { asked, committed }] = await Promise.all([activeDigest(), read()])
    if (digest === null) return null
    return [asked, committed].find((release) => release?.digest === digest)?.releaseId ?? null
  }

  /** `hostapp-update` empties the inactive root and pulls into it in one go, so here it is only made sure that it can. */
  const download: ReleaseDriver['download'] = async (manifest, { signal, onProgress }) => {
    const layers = await source.layers(hostappOf(manifest), signal)
    const sizeBytes = layers.reduce((sum, layer) => sum + layer.sizeBytes, 0)
    const { bsize, blocks } = await statfs(join(access.root, hostPaths.inactiveRoot))
    if (sizeBytes > bsize * blocks) {
      throw new FreeholdError(
        'conflict',
        `The host's image has ${sizeBytes} bytes packed; its root holds ${bsize * blocks}.`,
      )
    }
    onProgress(100)
  }

  /** The engine's client reads its credentials from a file; they are never an argument or in its environment. */
  const update = async (image: string, signal: AbortSignal) => {
    const folder = join(access.root, credentialsFolder)
    await rm(folder, { recursive: true, force: true })
    await mkdir(folder, { mode: 0o700 })
    try {
      const password = options.token()?.reveal() ?? ''
      const auth = Buffer.from(`device:${password}`).toString('base64')
      const text = JSON.stringify({ auths: { [registry.host]: { auth } } })
      await writeFile(join(folder, 'config.json'), text, { mode: 0o600 })
      const environment = { DOCKER_CONFIG: credentialsFolder }
      const { exitCode, log } = await onHost(['hostapp-update', '-i', image], {
        environment,
        timeLimitMs: updateLimitMs,
        signal,
      })
      if (exitCode !== 0)
        throw new HostUpdateFailed(`hostapp-update failed (${exitCode ?? 'killed'}): ${lastWords(log)}`, log)
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  }

  const reboot = async (signal: AbortSignal) => {
    const { exitCode, log } = await onHost(['systemctl', 'reboot'], { timeLimitMs: shortLimitMs, signal })
    if (exitCode !== 0)
      throw new HostUpdateFailed(`The host cannot be restarted (${exitCode ?? 'killed'}): ${lastWords(log)}`, log)
  }

  const apply: ReleaseDriver['apply'] = async (manifest, { force, signal }) => {
    const refusal = await unsupported(manifest, signal, { force })
    if (refusal !== null) throw new FreeholdError('conflict', refusal)
    const { repository, digest } = hostappOf(manifest)
    if ((await activeDigest()) === digest) return 'applied'
    const state = await read()
    const present = await bootId()
    // In this boot the checks to come are those of this update, which was cut off before it was told that it is done.
    const wasAsked = state.asked?.digest === digest && state.asked.bootId === present
    const wasStaged = wasAsked && state.asked?.isStaged === true
    if (!wasAsked && (await readMarks(access)).isChecking) {
      throw new FreeholdError('conflict', 'The host still checks its last update; another one begins after that.')
    }
    await locks.take({ force })
    try {
      if (!wasStaged) {
        const before = await readActiveImage(access)
        const asked = { releaseId: manifest.releaseId, digest, before, bootId: present, isStaged: false }
        await write({ ...state, asked })
        await update(`${registry.host}/${repository}@${digest}`, signal)
        await write({ ...state, asked: { ...asked, isStaged: true } })
      }
      await reboot(signal)
      return 'restarting'
    } catch (error) {
      await locks.release()
      throw error
    }
  }

  const health: ReleaseDriver['health'] = async (manifest, signal) => {
    const [digest, { asked }, marks, present] = await Promise.all([activeDigest(), read(), readMarks(access), bootId()])
    if (digest !== hostappOf(manifest).digest) {
      if (asked?.bootId === present) return { isHealthy: false, message: 'The host has not restarted yet.', log: '' }
      await locks.release()
      const message = marks.returned ?? 'The host came up in another root than the one that was asked for.'
      return { isHealthy: false, message, log: '' }
    }
    await locks.release()
    const told = checkHealth === null ? null : await checkHealth(signal)
    if (told?.isHealthy === false) return told
    const own = marks.isChecking ? 'The host still checks itself.' : 'The host passed its own checks.'
    return { isHealthy: true, message: told === null ? own : `${told.message} ${own}`, log: told?.log ?? '' }
  }

  const commit: ReleaseDriver['commit'] = async (manifest, signal) => {
    const { digest } = hostappOf(manifest)
    const { releaseId } = manifest
    for (let waitedMs = 0; (await readMarks(access)).isChecking; waitedMs += pollMs) {
      if (waitedMs >= checksLimitMs) throw new FreeholdError('conflict', "The host's own checks do not end.")
      await pause(clock, pollMs, signal)
    }
    if ((await activeDigest()) !== digest) {
      const { returned } = await readMarks(access)
      throw new FreeholdError(
        'conflict',
        returned ?? `Version ${manifest.version} does not run, so it cannot be confirmed.`,
      )
    }
    await write({ asked: null, committed: { releaseId, digest } })
    await locks.release()
  }

  const rollBack: ReleaseDriver['rollBack'] = async (signal) => {
    const state = await read()
    const { asked } = state
    if (asked === null) return 'returned'
    const isRunning = (await activeDigest()) === asked.digest
    if (!isRunning) {
      if (asked.bootId === (await bootId())) await unstage(signal)
      await write({ ...state, asked: null })
      await locks.release()
      return 'returned'
    }
    const { before } = asked
    if (before === null || digestIn(before) === null || !before.startsWith(`${registry.host}/`)) {
      const message =
        'The host cannot be told to return: its root before is from no image of this registry. It returns by its own checks alone.'
      if ((await readMarks(access)).isChecking) throw new FreeholdError('conflict', message)
      throw new NoWayBack(`${message} It has passed them.`)
    }
    // What was asked stays on record: until it is down, that is what runs.
    await update(before, signal)
    await reboot(signal)
    return 'restarting'
  }

  /** What `hostapp-update` itself does where it fails: the hooks of the running host make its own root boot again. */
  const unstage = async (signal: AbortSignal) => {
    const limits = { environment: { DURING_UPDATE: '0' }, timeLimitMs: shortLimitMs, signal }
    const { exitCode, log } = await onHost(['hostapp-update-hooks'], limits)
    if (exitCode !== 0)
      throw new HostUpdateFailed(`The update cannot be taken back (${exitCode ?? 'killed'}): ${lastWords(log)}`, log)
  }

  return { name: 'balena-hostapp', unsupported, running, download, apply, health, commit, rollBack }
}

async function missingParts(access: HostAccess): Promise<string | null> {
  if (!(await hasFile(access, hostPaths.update))) {
    return `the host has no ${hostPaths.update}; it is no balenaOS of 2.5 or later.`
  }
  for (const folder of [hostPaths.activeRoot, hostPaths.inactiveRoot]) {
    if (!(await hasFile(access, folder))) return `the host has no ${folder}, so it has not two roots.`
  }
  if (!(await hasFile(access, hostPaths.engineSocket))) {
    return `the host's own engine does not run (${hostPaths.engineSocket} is not there).`
  }
  return null
}

/** The engine speaks plain HTTP with nothing but this machine. */
function refusalOfRegistry({ protocol, hostname }: URL): string | null {
  if (protocol === 'https:' || hostname === 'localhost' || /^127\./.test(hostname) || hostname === '[::1]') return null
  return "the host's engine pulls by HTTPS alone, and the control plane is reached by HTTP."
}

function hostappOf(manifest: ReleaseManifest): { repository: string; digest: string } {
  if (manifest.host) return manifest.host.hostapp
  throw new FreeholdError('invalid-input', 'The release holds no host.')
}

/** One kernel, so one boot, whichever container asks. */
async function kernelBootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim()
}

function pause(clock: Clock, durationMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = () => {
      cancel()
      reject(signal.reason)
    }
    const cancel = clock.after(durationMs, () => {
      signal.removeEventListener('abort', end)
      resolve()
    })
    if (signal.aborted) end()
    else signal.addEventListener('abort', end, { once: true })
  })
}

function parseState(text: string | null): HostappState {
  const { asked, committed } = fieldsOf(parseJson(text ?? ''))
  const release = (value: unknown) => {
    const told = fieldsOf(value)
    const [releaseId, digest] = [textOf(told.releaseId, 64), textOf(told.digest, 80)]
    return releaseId === null || digest === null ? null : { releaseId, digest }
  }
  const wanted = release(asked)
  if (wanted === null || !isFields(asked)) return { asked: null, committed: release(committed) }
  const rest = {
    before: textOf(asked.before, 600),
    bootId: textOf(asked.bootId, 64) ?? '',
    isStaged: flagOf(asked.isStaged) ?? false,
  }
  return { asked: { ...wanted, ...rest }, committed: release(committed) }
}

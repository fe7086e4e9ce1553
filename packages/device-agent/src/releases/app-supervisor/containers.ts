import type { Redactor } from '../../secret.ts'
import type { ContainerDetail, Engine } from './engine.ts'
import type { Baseline } from './memory.ts'
import { ourAppId } from './names.ts'

/** A container of our application, and which service of which release it is. */
export interface OurContainer extends ContainerDetail {
  service: string
  /** The Supervisor names containers `service_image_release_commit`, and renames those that it keeps. */
  commit: string
}

const mostLogCharacters = 8_000
const mostLogLines = 100

export async function ourContainers(engine: Engine, signal?: AbortSignal): Promise<OurContainer[]> {
  const found = await engine.containersLabelled(`io.balena.app-id=${ourAppId}`, signal)
  const details = await Promise.all(found.map(({ id }) => engine.container(id, signal)))
  return details.flatMap((detail) => {
    if (detail === null) return []
    const commit = /_\d+_\d+_([^_]+)$/.exec(detail.name)?.[1] ?? ''
    return [{ ...detail, service: detail.labels['io.balena.service-name'] ?? detail.name, commit }]
  })
}

/** Where the Supervisor puts a service's lock folder, and both names of a lock in it. */
const lockFiles = ['/tmp/balena/updates.lock', '/tmp/balena/resin-updates.lock']

/** The services that hold an update lock. */
export async function lockedServices(
  engine: Engine,
  containers: readonly OurContainer[],
  signal?: AbortSignal,
): Promise<string[]> {
  const locked = await Promise.all(
    containers.map(async (container) => {
      const held = await Promise.all(lockFiles.map((path) => engine.hasFile(container.id, path, signal)))
      return held.includes(true) ? [container.service] : []
    }),
  )
  return [...new Set(locked.flat())].sort()
}

export function baselineOf(containers: readonly OurContainer[], bootId: string): Baseline {
  const entries = containers.map(({ id, restartCount, startedAt }) => [id, { restartCount, startedAt }] as const)
  return { bootId, containers: Object.fromEntries(entries) }
}

/** A service that does not do what it shall, and the sentence that says so. */
export interface Fault {
  service: string
  what: string
  container: OurContainer | null
}

/** What is wrong with the services of a release; none: all run as they should. `baseline` null: not known. */
export function faultsOf(
  services: readonly string[],
  containers: readonly OurContainer[],
  baseline: Baseline | null,
): Fault[] {
  return services.flatMap((service) => {
    const container = containers.find((candidate) => candidate.service === service) ?? null
    const what = container === null ? 'has no container' : faultOf(container, baseline)
    return what === null ? [] : [{ service, what, container }]
  })
}

function faultOf(container: OurContainer, baseline: Baseline | null): string | null {
  const { status, exitCode, restartCount, startedAt, health, restartPolicy, id } = container
  const begun = baseline?.containers[id]
  if (status === 'restarting') return `restarts again and again (it ended with ${exitCode})`
  if (status === 'exited' && exitCode === 0 && (restartPolicy === 'no' || restartPolicy === 'on-failure')) return null
  if (status === 'exited') return `ended with ${exitCode}`
  if (status !== 'running') return `is ${status}`
  if (health === 'unhealthy') return 'is unhealthy by its own check'
  if (begun !== undefined && (restartCount > begun.restartCount || startedAt !== begun.startedAt)) {
    return 'ended and was started again'
  }
  return null
}

/** Last lines of what fails, secrets taken out, at most 8,000 characters in all. */
export async function logOf(options: {
  engine: Engine
  faults: readonly Fault[]
  redactor: Redactor
  signal?: AbortSignal | undefined
}): Promise<string> {
  const { engine, faults, redactor, signal } = options
  const failing = faults.flatMap(({ service, container }) => (container === null ? [] : [{ service, container }]))
  const each = Math.floor(mostLogCharacters / Math.max(1, failing.length))
  const parts: string[] = []
  for (const { service, container } of failing) {
    const said = await engine
      .logs(container, mostLogLines, signal)
      .catch((error: unknown) => `(its log cannot be read: ${error instanceof Error ? error.message : String(error)})`)
    // Cleaned before it is cut: half a secret would not be known any more.
    const lines = readable(redactor.clean(said)).split('\n')
    parts.push(lastOf(lines.map((line) => `${service} | ${line}`).join('\n'), each - 1))
  }
  return parts.join('\n')
}

/** Whole lines where there are several. */
function lastOf(text: string, characters: number): string {
  if (text.length <= characters) return text
  const cut = text.slice(-characters)
  const next = cut.indexOf('\n')
  return (next < 0 || next === cut.length - 1 ? cut : cut.slice(next + 1)).toWellFormed()
}

/** Lines alone: what a terminal is told besides would be shown to people as it is. */
function readable(text: string): string {
  let lines = ''
  for (const character of text.replaceAll('\r\n', '\n').trimEnd()) {
    const code = character.charCodeAt(0)
    lines += character !== '\n' && (code < 0x20 || (code >= 0x7f && code < 0xa0)) ? ' ' : character
  }
  return lines.toWellFormed()
}

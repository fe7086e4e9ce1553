import { constants } from 'node:fs'
import { access, mkdir } from 'node:fs/promises'
import { availableParallelism, totalmem } from 'node:os'
import { delimiter, join } from 'node:path'
import { buildArchitectures, type CorebuildCapabilities, type ImageKind, imageKinds } from '@freehold/contracts'
import { freeBytesOf, missingProgramsFor, packageOfProgram } from '@freehold/image-tool'
import type { WorkerConfig } from './config.ts'
import type { Queue } from './jobs/queue.ts'

/** The smallest image is larger. */
const leastFreeBytes = 1024 ** 3

export interface CapabilitiesOptions {
  config: WorkerConfig
  queue: Queue
  freeBytes?: (folder: string) => Promise<number>
  /** Where programs are looked for; without it PATH. */
  searchPath?: string
}

/** What this worker can do now, and how busy it is. Kinds whose programs are missing are left out, and `problems` says so. */
export async function capabilitiesOf(options: CapabilitiesOptions): Promise<CorebuildCapabilities> {
  const { config, queue } = options
  const { kinds, problems } = await kindsOf(options)
  await mkdir(config.workFolder, { recursive: true })
  const free = await (options.freeBytes ?? freeBytesOf)(config.workFolder)
  if (free < leastFreeBytes) {
    problems.push(`Its disk has ${Math.floor(free / 1_000_000)} MB free in ${config.workFolder}; images need more.`)
  }
  return {
    workerId: config.workerId,
    supportedBuildTypes: ['baseos-image'],
    supportedArchitectures: [...buildArchitectures],
    supportedImageKinds: kinds,
    cpuCores: availableParallelism(),
    memoryGb: Math.round((Math.min(totalmem(), config.memoryBytes ?? Infinity) / 1024 ** 3) * 10) / 10,
    workdir: config.workFolder,
    runningJobs: queue.running,
    waitingJobs: queue.waiting,
    maxRunningJobs: config.maxRunningJobs,
    maxWaitingJobs: config.maxWaitingJobs,
    problems: problems.map((problem) => problem.slice(0, 500)),
  }
}

async function kindsOf(options: CapabilitiesOptions): Promise<{ kinds: ImageKind[]; problems: string[] }> {
  const [program] = options.config.toolCommand ?? []
  if (program !== undefined) {
    if (await isProgram(program, options.searchPath ?? process.env.PATH ?? ''))
      return { kinds: [...imageKinds], problems: [] }
    return { kinds: [], problems: [`${program} is not installed: ISO_CREATOR_COMMAND names it.`] }
  }
  const kinds: ImageKind[] = []
  const problems: string[] = []
  for (const kind of imageKinds) {
    const missing = await missingProgramsFor(kind, options.searchPath)
    if (missing.length === 0) kinds.push(kind)
    else {
      const packages = [...new Set(missing.map((name) => packageOfProgram[name]))].join(' ')
      problems.push(`${kind} needs ${missing.join(', ')}: apt-get install --no-install-recommends ${packages}`)
    }
  }
  return { kinds, problems }
}

async function isProgram(program: string, searchPath: string): Promise<boolean> {
  const candidates = program.includes('/')
    ? [program]
    : searchPath.split(delimiter).map((folder) => join(folder, program))
  for (const path of candidates) {
    const found = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    )
    if (found) return true
  }
  return false
}

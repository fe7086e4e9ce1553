import { createReadStream } from 'node:fs'
import { lstat, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type CorebuildArtifact, type CorebuildJob, type CorebuildS3, FreeholdError } from '@freehold/contracts'
import { buildImage, type FetchBase, freeBytesOf, type Progress } from '@freehold/image-tool'
import type { WorkerConfig } from '../config.ts'
import { fetchAgent } from '../image/agent-archive.ts'
import { agentSource, type JobPlan } from '../image/plan.ts'
import { findUbuntu } from '../image/ubuntu.ts'
import { type AddressRule, createAddressRule } from '../net/addresses.ts'
import { type Client, createClient } from '../net/client.ts'
import { createS3Sink, endpointOf } from '../sinks/s3.ts'
import { type Patience, type Sink, type Stored, usualPatience } from '../sinks/sink.ts'
import { createUploadSink } from '../sinks/upload.ts'
import { runExternalTool } from '../tool/external.ts'
import { requireRoom } from './space.ts'
import { type Workspace, withWorkspace } from './workspace.ts'

/** What a job is run with; all but `config` has a usual value. */
export interface JobSurroundings {
  config: WorkerConfig
  environment?: Record<string, string | undefined>
  freeBytes?: (folder: string) => Promise<number>
  patience?: Patience
}

export interface JobEvents {
  signal: AbortSignal
  log: (sentence: string) => void
  progress: (progress: { phase: string; doneBytes: number; totalBytes: number | null }) => void
}

export const foldersOf = (config: WorkerConfig) => ({
  jobs: join(config.workFolder, 'jobs'),
  cache: join(config.workFolder, 'cache'),
})

/**
 * Runs one job from its base to its image at the destination. Nothing of it stays here but the base in the cache; where it
 * fails, nothing stays at the destination either. Throws `FreeholdError`s and the signal's reason.
 */
export function runJob(
  job: CorebuildJob,
  plan: JobPlan,
  { events, surroundings }: { events: JobEvents; surroundings: JobSurroundings },
): Promise<CorebuildArtifact> {
  const { config } = surroundings
  return withWorkspace(foldersOf(config).jobs, async (workspace) => {
    const homes = [new URL(job.cloudlyUrl).host, ...Object.values(config.ubuntuMirror).map((url) => new URL(url).host)]
    const rule = createAddressRule({ homes, allowsPrivate: config.allowsPrivateAddresses })
    using client = createClient(rule)
    const run = new Run({ plan, events, surroundings, workspace, client, rule })
    try {
      return await run.run(job)
    } catch (error) {
      // Whatever broke because of it, a job that was ended was ended.
      events.signal.throwIfAborted()
      throw await nameFullDisk(error, workspace.folder, surroundings)
    }
  })
}

/** No program leaves as much free when it fails for want of room. */
const fullBelowBytes = 1024 * 1024

/** A program that fails on a full disk says so in its own words, if at all; another worker may have more room. */
async function nameFullDisk(error: unknown, folder: string, { freeBytes = freeBytesOf }: JobSurroundings) {
  if (!(error instanceof FreeholdError) || error.code !== 'conflict') return error
  if ((await freeBytes(folder)) >= fullBelowBytes) return error
  return new FreeholdError('storage-full', `The disk of the build worker is full. ${error.message}`)
}

interface RunParts {
  plan: JobPlan
  events: JobEvents
  surroundings: JobSurroundings
  workspace: Workspace
  client: Client
  rule: AddressRule
}

class Run {
  readonly #parts: RunParts

  constructor(parts: RunParts) {
    this.#parts = parts
  }

  async run(job: CorebuildJob): Promise<CorebuildArtifact> {
    const { plan, events, surroundings, workspace, client } = this.#parts
    const { config } = surroundings
    const { signal } = events
    const tool = config.toolCommand?.[0] ?? 'the image tool'
    events.log(`Starting ${tool} for ${job.architecture} ${job.imageKind}`)
    events.progress({ phase: 'prepare', doneBytes: 0, totalBytes: null })
    await this.#requireDestination()
    const base = await this.#findBase()
    const freeBytes = surroundings.freeBytes ?? freeBytesOf
    const cacheFolder = foldersOf(config).cache
    await requireRoom(
      { folder: workspace.folder, cacheFolder, base, writesImage: config.toolCommand !== null },
      { client, signal, freeBytes },
    )
    await mkdir(join(workspace.folder, 'output'))
    if (plan.agent !== null) {
      const path = join(workspace.folder, agentSource)
      await fetchAgent({ ...plan.agent, path }, { client, signal, patience: this.#patience })
      events.log('The device agent is fetched and verified.')
    }
    const sent =
      config.toolCommand === null ? await this.#buildHere(base) : await this.#buildOutside(base, config.toolCommand)
    const { destination, filename } = plan
    return {
      bucketName: destination.kind === 's3' ? destination.descriptor.bucketName : '',
      key: destination.kind === 's3' ? destination.key : '',
      filename,
      contentType: sent.contentType,
      size: sent.sizeBytes,
      sha256: sent.sha256,
      createdAt: Date.now(),
    }
  }

  /** What will be refused at the end is refused before anything is fetched. */
  #requireDestination(): Promise<void> {
    const { plan, rule } = this.#parts
    const { destination } = plan
    if (destination.kind === 'upload') return requireDialable(destination.url, rule)
    return requireDialable(endpointOf(destination.descriptor).href, this.#storeRule(destination.descriptor))
  }

  get #patience(): Patience {
    return this.#parts.surroundings.patience ?? usualPatience
  }

  async #findBase(): Promise<{ url: string; sha256: string | undefined }> {
    const { plan, events, surroundings, client } = this.#parts
    if ('url' in plan.base) return plan.base
    const { architecture, ubuntu } = plan.base
    const mirror = surroundings.config.ubuntuMirror[architecture]
    const found = await findUbuntu({ mirror, version: ubuntu, architecture }, { client, signal: events.signal })
    events.log(`The base image is ${found.url}`)
    return found
  }

  /** The image goes to its destination while it is made. */
  async #buildHere(base: { url: string; sha256: string | undefined }): Promise<Stored & { contentType: string }> {
    const { plan, events, surroundings, workspace, client } = this.#parts
    const { config, freeBytes } = surroundings
    const fetchBase: FetchBase = (url, { headers, signal }) =>
      client.send(url, { headers, signal, follow: true, isPassing: true })
    let sent: Stored | undefined
    const built = await buildImage({
      config: plan.configFor(base),
      folder: workspace.folder,
      cacheFolder: foldersOf(config).cache,
      workFolder: workspace.folder,
      signal: events.signal,
      onProgress: (progress: Progress) => events.progress(progress),
      onLog: events.log,
      limits: { cacheBytes: config.cacheBytes },
      fetch: fetchBase,
      sink: async (bytes, head) => {
        sent = await this.#sink().store(bytes, head.contentType)
      },
      ...(freeBytes === undefined ? {} : { freeBytes }),
    })
    if (sent?.sha256 !== built.sha256) throw new FreeholdError('internal', 'What was sent is not what was built.')
    return { ...sent, contentType: built.contentType }
  }

  /** Another tool writes the image to a file, which is sent when it is done. */
  async #buildOutside(
    base: { url: string; sha256: string | undefined },
    command: readonly string[],
  ): Promise<Stored & { contentType: string }> {
    const { plan, events, surroundings, workspace, rule } = this.#parts
    const { config, environment = process.env } = surroundings
    await requireDialable(base.url, rule)
    const configPath = join(workspace.folder, 'isocreator.config.json')
    const image = plan.configFor(base)
    await writeFile(configPath, `${JSON.stringify(image, undefined, 2)}\n`, { mode: 0o600 })
    events.progress({ phase: 'build', doneBytes: 0, totalBytes: null })
    await runExternalTool({
      command,
      configPath,
      environment: {
        ...Object.fromEntries(Object.entries(environment).filter(([name]) => !name.startsWith('COREBUILD_'))),
        TMPDIR: workspace.folder,
        IMAGE_TOOL_CACHE: foldersOf(config).cache,
        IMAGE_TOOL_WORKDIR: workspace.folder,
      },
      signal: events.signal,
      said: events.log,
      started: workspace.owns,
    })
    const path = join(workspace.folder, 'output', plan.filename)
    const found = await lstat(path).catch(() => undefined)
    if (found === undefined || !found.isFile() || found.size === 0) {
      throw new FreeholdError('conflict', 'The image tool said that it succeeded, but wrote no image to output.path.')
    }
    events.log('The image is being sent.')
    const contentType = contentTypeOf(plan.filename)
    const chunks: AsyncIterable<Buffer> = createReadStream(path, { highWaterMark: 1024 * 1024, signal: events.signal })
    const stored = await this.#sink().store(this.#watched(chunks, found.size), contentType)
    return { ...stored, contentType }
  }

  async *#watched(bytes: AsyncIterable<Buffer>, totalBytes: number): AsyncGenerator<Buffer> {
    let doneBytes = 0
    for await (const chunk of bytes) {
      yield chunk
      doneBytes += chunk.length
      if (doneBytes % progressStepBytes < chunk.length)
        this.#parts.events.progress({ phase: 'write', doneBytes, totalBytes })
    }
  }

  /** Stores often stand at private addresses. Who has the worker's token chose this one; without a token anybody may have. */
  #storeRule(descriptor: CorebuildS3): AddressRule {
    const { config } = this.#parts.surroundings
    const homes = config.token === null ? [] : [endpointOf(descriptor).host]
    return createAddressRule({ homes, allowsPrivate: config.allowsPrivateAddresses })
  }

  #sink(): Sink {
    const { plan, events, client } = this.#parts
    const { destination } = plan
    const common = { signal: events.signal, log: events.log, patience: this.#patience }
    return destination.kind === 's3'
      ? createS3Sink({ ...destination, ...common, rule: this.#storeRule(destination.descriptor) })
      : createUploadSink({ ...destination, ...common, client })
  }
}

const progressStepBytes = 8 * 1024 * 1024

const contentTypes: readonly [string, string][] = [
  ['.iso', 'application/x-iso9660-image'],
  ['.xz', 'application/x-xz'],
  ['.zst', 'application/zstd'],
]

function contentTypeOf(filename: string): string {
  return contentTypes.find(([ending]) => filename.endsWith(ending))?.[1] ?? 'application/octet-stream'
}

/** Another tool dials by itself: its address is looked up once before. */
function requireDialable(address: string, rule: AddressRule): Promise<void> {
  const url = new URL(address)
  rule.check(url)
  return new Promise((resolve, reject) => {
    rule.lookupFor(url)(url.hostname.replace(/^\[|\]$/g, ''), { all: true }, (error) => {
      // A name that is not found is for the tool to say.
      if (error instanceof FreeholdError) reject(error)
      else resolve()
    })
  })
}

import { dirname, join } from 'node:path'
import type { DeviceStatus } from '@freehold/contracts'
import { FreeholdError } from '@freehold/contracts/lean'
import { type Clock, createDriver, type Random, systemClock, systemRandom } from '@freehold/reconcile'
import packageJson from '../package.json' with { type: 'json' }
import { randomUUID } from './builtin.ts'
import { type Config, readConfig } from './config.ts'
import { CloudlyConnector } from './control-plane/connector.ts'
import { createLink, type Link, type LinkStatus } from './control-plane/link.ts'
import { firstPauseMs } from './control-plane/rules.ts'
import { startLocalApi } from './local-api/index.ts'
import { createUpdateLocks, type UpdateLocks } from './locks/update-locks.ts'
import { createLog, type Log, sentenceOf } from './log.ts'
import { boundedStatus, hostName, kernelBootId, machineStatus, timeZone } from './machine.ts'
import { createNudge, type Nudge } from './nudge.ts'
import {
  type AppsBy,
  createActions,
  createJudge,
  createReleaseDrivers,
  createReleases,
  type DeviceDrivers,
  type ReleaseDrivers,
  type Releases,
  storedStatus,
} from './releases/index.ts'
import { createRedactor, type Redactor, Secret } from './secret.ts'
import { openStateFile, type StateFile } from './state/index.ts'
import { openStateStore, type StateStore } from './state/store.ts'
import { SupervisorClient } from './supervisor/client.ts'
import { createSupervisorReader, type SupervisorPicture, type SupervisorReader } from './supervisor/reader.ts'
import type { UpdateStatus } from './supervisor/update.ts'
import { createUpdater, type Updater } from './supervisor/updater.ts'
import { createVerifier, readManifestFile, type Verifier } from './updates/index.ts'

/** What a runner touches besides its settings; tests and simulators give their own. */
export interface RunnerParts {
  clock: Clock
  random: Random
  /** Only ever compared with itself: the wall clock of a device jumps. */
  monotonicMs: () => number
  wallMs: () => number
  writeLog: (line: string) => void
  stateFile: StateFile
  verify: Verifier
  /** How this device changes what runs on it; null for a half: it cannot; null in all: by what the host offers. */
  releaseDrivers: ReleaseDrivers | null
}

/** What `status` prints. It holds no secret. */
export interface RunnerStatus {
  /** Null: none yet; `start` makes one. */
  nodeId: string | null
  agentVersion: string
  cloudly: { url: string | null } & Pick<LinkStatus, 'state' | 'message'> & Partial<LinkStatus>
  desiredGeneration: number
  /** By which way releases of applications come onto this device, and why; null: a test said how. */
  appsBy: AppsBy | null
  runtime: DeviceStatus
}

/**
 * The device agent. What always holds: it never needs the control plane to go on, never asks the Supervisor for
 * anything but an update or a reboot, and a missing part is said, not died of.
 */
export class BaseRunner {
  readonly #config: Config
  readonly #parts: RunnerParts
  readonly #redactor: Redactor
  readonly #log: Log
  readonly #bootId = randomUUID()
  readonly #client: SupervisorClient | null
  readonly #reader: SupervisorReader
  readonly #locks: UpdateLocks
  #store: StateStore | undefined
  #updater: Updater | undefined
  #link: Link | undefined
  #releases: Releases | undefined
  #drivers: DeviceDrivers | undefined
  #storageProblem: string | null = null
  #isStarted = false
  #stops: (() => Promise<void>)[] = []

  constructor(config: Config, parts: Partial<RunnerParts> = {}) {
    this.#config = config
    this.#parts = {
      clock: systemClock,
      random: systemRandom,
      // Not `performance`, whose module would be kept for this alone.
      monotonicMs: () => Number(process.hrtime.bigint() / 1_000n) / 1_000,
      wallMs: () => Date.now(),
      writeLog: (line) => process.stdout.write(line),
      stateFile: openStateFile(config.statePath),
      verify: createVerifier(),
      releaseDrivers: null,
      ...parts,
    }
    const { clock, monotonicMs, wallMs, writeLog } = this.#parts
    this.#redactor = createRedactor()
    for (const secret of [config.joinToken, config.nodeToken, config.supervisorApiKey]) this.#redactor.remember(secret)
    this.#log = createLog({ write: writeLog, redactor: this.#redactor, level: config.logLevel, now: wallMs })
    const { supervisorAddress: address, supervisorApiKey: key } = config
    this.#client = address && new SupervisorClient({ address, key, redactor: this.#redactor })
    this.#reader = createSupervisorReader({ client: this.#client, monotonicMs })
    this.#locks = createUpdateLocks({ directory: config.lockDirectory, clock, log: this.#log })
  }

  /** Reads the environment; throws `invalid-input` that names every fault in it. */
  static fromEnv(
    environment: Record<string, string | undefined> = process.env,
    parts: Partial<RunnerParts> = {},
  ): BaseRunner {
    return new BaseRunner(readConfig(environment), parts)
  }

  /** Resolves when everything runs; it goes on until `stop()`. Throws where the local API cannot listen. */
  async start(): Promise<void> {
    const { cloudlyUrl, supervisorAddress } = this.#config
    this.#isStarted = true
    const store = await this.#opened()
    await store.flush().catch((error: unknown) => this.#onStorageProblem(sentenceOf(error)))
    await this.#locks.adopt()
    this.#stops.push(() => this.#locks.stop())
    const updater = this.#updaterFor(store)
    const { pendingUpdate } = store.current()
    if (pendingUpdate && updater) updater.resume(pendingUpdate)
    await this.#startLocalApi()
    this.#log.info('The device agent runs.', {
      nodeId: store.current().nodeId,
      agentVersion: packageJson.version,
      controlPlane: cloudlyUrl?.origin ?? 'not-configured',
      supervisor: supervisorAddress?.origin ?? 'not-configured',
    })
    if (cloudlyUrl?.protocol === 'http:' && !isLoopback(cloudlyUrl.hostname)) {
      this.#log.warn('The control plane is spoken to without TLS: its tokens can be read on the way.')
    }
    await this.#startReleases(store, this.#startHeartbeats(store))
  }

  /** Ends what runs. Update locks stay until their leases end, for the next agent to adopt; a pending update is gone on with at the next start. */
  async stop(): Promise<void> {
    const stops = this.#stops.splice(0).reverse()
    for (const stop of stops) await stop()
    await this.#updater?.stop()
  }

  /** Nothing is written, and the control plane is not called: a second process must not look like a second device. */
  async status(signal?: AbortSignal): Promise<RunnerStatus> {
    const store = await this.#opened()
    const { nodeId, generation } = store.current()
    const isStored = store.isStored() || this.#config.nodeId !== null
    return {
      nodeId: isStored ? nodeId : null,
      agentVersion: packageJson.version,
      cloudly: this.#linkStatus(store),
      desiredGeneration: generation,
      appsBy: (await this.#driversFor(store)?.choice(signal)) ?? null,
      runtime: await this.#collect(await this.#reader.read(signal)),
    }
  }

  /** What the Supervisor answers now, and how it is configured. */
  async checkSupervisor(signal?: AbortSignal): Promise<{
    address: string | null
    apiKey: 'set' | 'not-set'
    supervisor: SupervisorPicture['supervisor']
    device: SupervisorPicture['device']
  }> {
    const { supervisor, device } = await this.#reader.read(signal)
    const { supervisorAddress, supervisorApiKey } = this.#config
    return {
      address: supervisorAddress?.origin ?? null,
      apiKey: supervisorApiKey ? 'set' : 'not-set',
      supervisor,
      device,
    }
  }

  /**
   * Asks the Supervisor for an update; resolves when it was asked, with `waitMs` when an outcome is known or that time
   * is over. Throws SupervisorError where it cannot be asked, and `conflict` where none is configured.
   */
  async requestUpdate(options: { force?: boolean; requestedBy?: string; waitMs?: number } = {}): Promise<UpdateStatus> {
    const { force = false, requestedBy = 'command', waitMs = 0 } = options
    const updater = this.#updaterFor(await this.#opened())
    if (!updater) {
      throw new FreeholdError(
        'conflict',
        'No Supervisor is configured (not-configured): set BALENA_SUPERVISOR_ADDRESS.',
      )
    }
    const asked = await updater.request({ force, requestedBy })
    if (waitMs === 0) return asked
    return (await updater.settled(AbortSignal.timeout(waitMs))) ?? asked
  }

  async #opened(): Promise<StateStore> {
    if (this.#store) return this.#store
    const { stateFile } = this.#parts
    const store = await openStateStore({ file: stateFile, nodeId: this.#config.nodeId })
    if (store.problem) this.#log.warn(store.problem)
    const { nodeToken } = this.#config
    if (store.current().nodeToken === null && nodeToken) {
      store.changeInMemory((state) => ({ ...state, nodeToken: nodeToken.reveal() }))
    }
    const { nodeToken: stored, previousNodeToken, deviceSecret } = store.current()
    for (const text of [stored, previousNodeToken, deviceSecret]) {
      if (text !== null) this.#redactor.remember(new Secret(text))
    }
    this.#store = store
    return store
  }

  #updaterFor(store: StateStore): Updater | undefined {
    if (!this.#client) return undefined
    const { clock, monotonicMs } = this.#parts
    const remember = async (pendingUpdate: Parameters<Updater['resume']>[0] | null) => {
      // A one-shot command leaves the file to the process that runs.
      if (!this.#isStarted) return
      try {
        await store.change((state) => ({ ...state, pendingUpdate }))
      } catch (error) {
        this.#onStorageProblem(sentenceOf(error))
      }
    }
    this.#updater ??= createUpdater({ client: this.#client, clock, monotonicMs, log: this.#log, remember })
    return this.#updater
  }

  #driversFor(store: StateStore): DeviceDrivers | undefined {
    const { clock, monotonicMs, releaseDrivers } = this.#parts
    if (releaseDrivers !== null) return undefined
    this.#drivers ??= createReleaseDrivers({
      config: this.#config,
      client: this.#client,
      updater: this.#updaterFor(store),
      store,
      locks: this.#locks,
      redactor: this.#redactor,
      log: this.#log,
      clock,
      monotonicMs,
    })
    return this.#drivers
  }

  async #startLocalApi(): Promise<void> {
    const { localApi, localTokenPath } = this.#config
    if (!localApi) return
    const api = await startLocalApi({
      address: localApi,
      tokenPath: localTokenPath,
      redactor: this.#redactor,
      log: this.#log,
      agent: {
        handshake: () => ({ nodeId: this.#store?.current().nodeId ?? '', agentVersion: packageJson.version }),
        status: () => this.status(),
        requestUpdate: (options) => this.requestUpdate(options),
        lastUpdate: () => this.#updater?.status() ?? null,
        locks: this.#locks,
      },
    })
    this.#stops.push(() => api.stop())
    this.#log.info('The local API listens.', { url: api.url })
  }

  /** Without a control plane nothing is assigned. `nudge`: what changed is reported soon. */
  async #startReleases(store: StateStore, nudge: Nudge | undefined): Promise<void> {
    const { cloudlyUrl, statePath, updateRootPath: rootPath, deviceType } = this.#config
    if (!cloudlyUrl) return
    const { clock, random, monotonicMs, verify, releaseDrivers } = this.#parts
    const own = this.#driversFor(store)
    await own?.resume()
    const drivers = releaseDrivers ?? own?.drivers ?? { app: null, host: null }
    const folder = join(dirname(statePath), 'updates')
    const common = { store, random, monotonicMs, log: this.#log }
    const believedMs = () => {
      const toldMs = this.#link?.serverNowMs() ?? null
      return toldMs === null ? null : Math.max(toldMs, store.current().releases.believedMs)
    }
    const judge = createJudge({
      ...common,
      verify,
      url: cloudlyUrl.href,
      folder,
      rootPath,
      deviceType,
      timeZone: await timeZone(),
      believedMs,
    })
    const releases = createReleases({
      ...common,
      drivers,
      judge,
      act: createActions({ client: this.#client, updater: this.#updaterFor(store) }),
      manifestText: (sha256) => readManifestFile(folder, sha256),
      kernelBootId: await kernelBootId(),
      clock,
      believedMs,
      redactor: this.#redactor,
      onChange: (urgency) => nudge?.wish(urgency),
    })
    this.#releases = releases
    this.#stops.push(() => releases.stop())
    releases.start()
  }

  #startHeartbeats(store: StateStore): Nudge | undefined {
    const { cloudlyUrl: url, joinToken, heartbeatIntervalMs: intervalMs } = this.#config
    if (!url) return undefined
    const { clock, random, monotonicMs, wallMs } = this.#parts
    const link = createLink({
      connector: new CloudlyConnector({ url, redactor: this.#redactor }),
      store,
      joinToken,
      intervalMs,
      bootId: this.#bootId,
      collectStatus: async (signal) => {
        nudge.noteReport()
        return this.#collect(await this.#reader.read(signal))
      },
      random,
      monotonicMs,
      wallMs,
      redactor: this.#redactor,
      log: this.#log,
      onStorageProblem: (problem) => this.#onStorageProblem(problem),
      onAnswered: () => this.#releases?.noteAnswer(),
      askAnew: () => this.#releases?.askAnew,
    })
    const driver = createDriver({
      run: (signal) => link.beat(signal),
      clock,
      random,
      periodMs: longestPauseMs,
      backoff: link.backoff,
      onFailure: ({ error, failures, retryInMs }) =>
        this.#log.warn('The control plane was not reached.', {
          reason: sentenceOf(error),
          failures,
          retryInMs: Math.round(retryInMs),
        }),
    })
    const cancelStart = clock.after(firstPauseMs(intervalMs, random), () => driver.start())
    this.#link = link
    // A pause that the control plane asked for is kept.
    const act = () => link.status().state === 'connected' && driver.wake()
    const nudge = createNudge({ clock, random, monotonicMs, act })
    this.#stops.push(async () => {
      nudge.stop()
      cancelStart()
      await driver.stop()
    })
    return nudge
  }

  async #collect(picture: SupervisorPicture): Promise<DeviceStatus> {
    const stored = this.#store?.current().releases
    const appsBy = picture.supervisor.state === 'available' ? await this.#drivers?.choice() : undefined
    const problems = [
      this.#storageProblem,
      this.#store?.problem ?? null,
      picture.supervisor.problem,
      stored?.zone?.problem ?? null,
      appsBy?.name === 'none' || appsBy?.name === 'wait' ? appsBy.message : null,
    ]
    const status: DeviceStatus = {
      agentVersion: packageJson.version,
      hostname: hostName(),
      machine: await machineStatus(dirname(this.#config.statePath)),
      ...picture,
      update: this.#updater?.status() ?? null,
      ...(this.#releases?.status() ?? storedStatus(stored)),
      locks: this.#locks.owners(),
      problems: problems.flatMap((problem) => (problem === null ? [] : [this.#redactor.clean(problem).slice(0, 500)])),
    }
    return boundedStatus(status)
  }

  #linkStatus(store: StateStore): RunnerStatus['cloudly'] {
    const url = this.#config.cloudlyUrl
    if (!url) return { url: null, state: 'not-configured', message: 'BASEOS_CLOUDLY_URL is not set.' }
    if (this.#link) return { url: url.href, ...this.#link.status() }
    if (store.current().nodeToken !== null) {
      return { url: url.href, state: 'registered', message: 'It has a node token; the running agent knows more.' }
    }
    return { url: url.href, state: 'not-registered', message: 'It has no node token; `start` registers it.' }
  }

  #onStorageProblem(problem: string | null): void {
    this.#storageProblem = problem
  }
}

/** The driver's own period; every beat says when the next one is due. */
const longestPauseMs = 36 * 60 * 60_000

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || /^127\./.test(host)
}

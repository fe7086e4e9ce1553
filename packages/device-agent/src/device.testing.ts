/** A device agent of real parts for simulations: only its network, its disk and what it changes are given to it. */
import { createHash } from 'node:crypto'
import type { Assignment, DeviceStatus } from '@freehold/contracts'
import { type Clock, createDriver, type Random } from '@freehold/reconcile'
import { CloudlyConnector } from './control-plane/connector.ts'
import { createLink } from './control-plane/link.ts'
import { firstPauseMs } from './control-plane/rules.ts'
import { NoAnswerError, type send } from './http.ts'
import { createLog } from './log.ts'
import { createNudge } from './nudge.ts'
import type { Action, ActionRecord } from './releases/actions.ts'
import type { ReleaseDriver } from './releases/driver.ts'
import { createJudge, createReleases } from './releases/index.ts'
import { createRedactor, Secret } from './secret.ts'
import { createState, type DeviceState, readState, writeState } from './state/state.ts'
import { openStateStore } from './state/store.ts'
import { judgeAssignment, readAssignmentKeys } from './updates/assignment.ts'
import { readManifest } from './updates/index.ts'
import { type Refusal, Refused } from './updates/refusal.ts'
import type { Verifier } from './updates/verifier.ts'

export { DriverLocked, type ReleaseDriver } from './releases/driver.ts'
export { NoAnswerError }
export type Send = typeof send

/** What outlives the agent: the state as it lies on disk. */
export interface Disk {
  state: DeviceState
}

export function newDisk(nodeId: string): Disk {
  return { state: createState({ nodeId }) }
}

export interface AgentParts {
  disk: Disk
  clock: Clock
  random: Random
  monotonicMs: () => number
  wallMs: () => number
  bootId: string
  intervalMs: number
  joinToken: string
  send: Send
  driver: ReleaseDriver
  act: (action: Action) => Promise<Pick<ActionRecord, 'outcome' | 'message'>>
  /** A signed target of the control plane; undefined: there is none. Throws where it is not reached. */
  target: (path: string) => Promise<string | undefined>
  /** Texts of manifests that were verified, by hash; outlives the agent. */
  manifests: Map<string, string>
  /** Told what went wrong in a way that no fault of the world explains. */
  onFault: (sentence: string) => void
}

/** Starts an agent as the runner does; `die` is what a power cut does to it. */
export async function startAgent(parts: AgentParts) {
  const { disk, clock, random, monotonicMs, manifests } = parts
  const life = { isOver: false }
  const text = writeState(disk.state)
  const store = await openStateStore({
    file: {
      load: async () => ({ state: readState(JSON.parse(text)), problem: null }),
      save: async (state) => {
        if (life.isOver) throw new Error('There is no power.')
        disk.state = state
      },
    },
    nodeId: null,
  })
  const redactor = createRedactor()
  const log = createLog({ write: () => undefined, redactor, level: 'silent' })
  const connector = new CloudlyConnector({ url: new URL('http://control-plane.test'), redactor, send: parts.send })
  const common = { store, random, monotonicMs, log }
  const link = createLink({
    ...common,
    connector,
    joinToken: new Secret(parts.joinToken),
    intervalMs: parts.intervalMs,
    bootId: parts.bootId,
    collectStatus: async () => {
      nudge.noteReport()
      return { ...quietStatus, ...releases.status() }
    },
    wallMs: parts.wallMs,
    redactor,
    onStorageProblem: () => undefined,
    onAnswered: () => releases.noteAnswer(),
    askAnew: () => releases.askAnew,
  })
  const beats = createDriver({
    run: (signal) => link.beat(signal),
    clock,
    random,
    periodMs: 36 * 60 * 60_000,
    backoff: link.backoff,
    onFailure: ({ error }) => {
      if (!life.isOver && error instanceof TypeError) parts.onFault(`heartbeat: ${error.stack}`)
    },
  })
  const act = () => link.status().state === 'connected' && beats.wake()
  const nudge = createNudge({ clock, random, monotonicMs, act })
  const believedMs = () => {
    const toldMs = link.serverNowMs()
    return toldMs === null ? null : Math.max(toldMs, store.current().releases.believedMs)
  }
  const judge = createJudge({
    ...common,
    verify: createInProcessVerifier(parts),
    url: 'http://control-plane.test',
    folder: '/nowhere',
    rootPath: null,
    deviceType: null,
    timeZone: null,
    believedMs,
  })
  const releases = createReleases({
    ...common,
    drivers: { app: parts.driver, host: null },
    judge,
    act: parts.act,
    manifestText: async (sha256) => manifests.get(sha256) ?? null,
    kernelBootId: parts.bootId,
    clock,
    believedMs,
    redactor,
    onChange: (urgency) => nudge.wish(urgency),
  })
  const cancelStart = clock.after(firstPauseMs(parts.intervalMs, random), () => beats.start())
  releases.start()
  return {
    link: () => link.status(),
    refusal: () => judge.refusal(),
    state: () => store.current(),
    die(): void {
      life.isOver = true
      nudge.stop()
      cancelStart()
      void beats.stop()
      void releases.stop()
    },
  }
}
export type SimulatedAgent = Awaited<ReturnType<typeof startAgent>>

/**
 * What the process that verifies does with an assignment, without The Update Framework around it: signature, node id,
 * counter, expiry, and the hash of the manifest that is a signed target.
 */
function createInProcessVerifier({ target, manifests }: Pick<AgentParts, 'target' | 'manifests'>): Verifier {
  return async (request) => {
    const { trust, believedMs, nodeId, newest } = request
    const zone = { name: null, offsets: [[believedMs, 0] as [number, number]], problem: null }
    try {
      const keys = readAssignmentKeys((await target('keys/assignments.json')) ?? '')
      if (keys === null) throw new Refused('metadata-invalid', 'There are no keys of assignments.')
      const judged = judgeAssignment({ assignment: request.assignment, keys, nodeId, newest, nowMs: believedMs })
      const { half, refusals } = await appOf(judged.assignment)
      return { trust, assignment: { ...judged.assignment, app: half }, newest: judged.newest, refusals, zone }
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      const refusals = [{ code: error.code, message: error.message, counter: null }]
      return { trust, assignment: null, newest: null, refusals, zone }
    }
  }

  async function appOf({ app, counter }: Assignment): Promise<{ half: Assignment['app']; refusals: Refusal[] }> {
    if (app === null) return { half: null, refusals: [] }
    const text = await target(app.target)
    const hash = createHash('sha256')
      .update(text ?? '')
      .digest('hex')
    const manifest = text === undefined || hash !== app.sha256 ? null : readManifest(text)
    if (text === undefined || manifest?.releaseId !== app.releaseId || manifest.type !== 'app') {
      const message = `${app.target} is not what was assigned.`
      return { half: null, refusals: [{ code: 'manifest-mismatch', message, counter }] }
    }
    manifests.set(hash, text)
    return { half: app, refusals: [] }
  }
}

const quietStatus: DeviceStatus = {
  agentVersion: 'simulated',
  hostname: null,
  machine: null,
  supervisor: null,
  device: null,
  apps: null,
  update: null,
  releases: null,
  actions: [],
  locks: [],
  problems: [],
}

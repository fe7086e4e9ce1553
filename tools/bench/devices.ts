import { fork } from 'node:child_process'
import { hash } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { createClient } from '@freehold/client'
import {
  deviceCredentialKind,
  deviceHeartbeatPath,
  deviceKind,
  deviceRegisterPath,
  imageKind,
  kinds,
  manifestKind,
  tagKind,
} from '@freehold/contracts'
import { type AnyKind, openSqliteStore, type Store } from '@freehold/store'
import {
  freePort,
  labAdministrator,
  type Program,
  startProgram,
  temporaryFolder,
  waitFor,
} from '../../test/system/lab/index.ts'
import { type FleetResult, type FleetRun, nodeIdOf, nodeTokenOf } from './device-fleet.ts'
import { memoryOfTree } from './process-memory.ts'
import { type Part, percentile, type Row } from './row.ts'

/** Fewer show nothing that a target is about, but sooner what a change does. */
const devices = Number(process.env.FREEHOLD_BENCH_DEVICES ?? 100_000)
const intervalSeconds = 60
const connections = 256
const registrations = 2_000
const actor = { type: 'system', id: 'bench', name: 'bench' } as const

/** A fleet of 100,000 devices on one control plane that has one core, over loopback with keep-alive. */
export const devicesPart: Part = {
  name: 'devices',
  async run(): Promise<Row[]> {
    await using cleanup = new AsyncDisposableStack()
    const folder = await temporaryFolder('bench')
    cleanup.defer(() => folder.remove())
    await seed(folder.path)
    const port = await freePort()
    const url = `http://127.0.0.1:${port}`
    const start = async (): Promise<Program> => {
      const program = await startProgram(['taskset', '-c', '0', process.execPath, 'packages/server/src/main.ts'], {
        env: {
          FREEHOLD_DATA_DIR: folder.path,
          SERVEZONE_PORT: String(port),
          FREEHOLD_LOCAL_CLUSTER: 'off',
          FREEHOLD_LOG_LEVEL: 'warn',
          SERVEZONE_ADMINACCOUNT: `${labAdministrator().username}:${labAdministrator().password}`,
        },
      })
      const anyone = createClient({ url })
      await waitFor(async () => (await anyone.status.health()).ok, {
        what: () => `the control plane\n${program.output()}`,
      })
      return program
    }
    const first = await start()
    let server = first
    cleanup.defer(() => server.stop())
    const fleet = startFleet()
    cleanup.defer(async () => void fleet.stop())
    const common = { url, path: deviceHeartbeatPath, requests: 'devices', devices, connections } as const

    const memory = watchMemory(server.pid)
    const steady = await fleet.run({
      ...common,
      perSecond: devices / intervalSeconds,
      seconds: 2 * intervalSeconds,
      warmUpSeconds: intervalSeconds,
      untilAllAnswered: false,
    })
    const memoryMB = memory.stop()
    const pages = await timePages(url)
    const rollout = await timeRollout({ url, pid: server.pid, fleet, run: common })
    const processorBefore = processorMs(server.pid)
    const flood = await fleet.run({
      ...common,
      perSecond: null,
      seconds: 15,
      warmUpSeconds: 3,
      untilAllAnswered: false,
    })
    const processorUs = ((processorMs(server.pid) - processorBefore) * 1000) / Math.max(1, flood.answered)
    const joinToken = await makeJoinToken(url)
    const joined = await fleet.run({
      ...common,
      path: deviceRegisterPath,
      requests: 'registrations',
      devices: registrations,
      connections: 32,
      perSecond: null,
      seconds: 5,
      warmUpSeconds: 0,
      untilAllAnswered: false,
      joinToken,
    })
    await server.stop()
    server = await start()
    const back = await fleet.run({
      ...common,
      perSecond: devices / intervalSeconds,
      seconds: intervalSeconds,
      warmUpSeconds: 0,
      untilAllAnswered: true,
    })
    return rowsOf({ steady, memoryMB, pages, rollout, flood, processorUs, joined, back })
  },
}

function rowsOf(measured: {
  steady: FleetResult
  memoryMB: number
  pages: { page: number; search: number }
  rollout: RolloutCost
  flood: FleetResult
  processorUs: number
  joined: FleetResult
  back: FleetResult
}): Row[] {
  const { steady, memoryMB, pages, rollout, flood, processorUs, joined, back } = measured
  const said = ({ answered, errors, sentAway, firstError }: FleetResult) =>
    `${answered} answered, ${errors} errors, ${sentAway} sent away${firstError === null ? '' : `; first error: ${firstError.split('\r\n')[0]}`}`
  return [
    {
      measure: `${devices.toLocaleString('en')} devices at ${intervalSeconds} s, p99`,
      unit: 'ms',
      ours: steady.p99Ms,
      target: { of: 'ours', atMost: 50 },
      note: `${connections} connections with keep-alive, as behind a proxy; control plane on one core; p50 ${steady.p50Ms.toFixed(1)} ms, longest ${steady.longestMs.toFixed(0)} ms; ${said(steady)}`,
    },
    {
      measure: 'memory meanwhile, at most',
      unit: 'MB',
      ours: memoryMB,
      target: { of: 'ours', atMost: 500 },
      note: 'proportional set size, every second',
    },
    {
      measure: 'a new desired state at 95 % of the fleet',
      unit: 's',
      ours: rollout.toldMostSeconds,
      target: { of: 'ours', atMost: intervalSeconds + 5 },
      note: `from asking for a rollout to everyone until the answers were there; its creation was answered after ${rollout.answeredSeconds.toFixed(1)} s; ${rollout.told} devices were told`,
    },
    {
      measure: 'a rollout over all, processor',
      unit: 's',
      ours: rollout.processorSeconds,
      target: { of: 'ours', atMost: 60 },
      note: `${rollout.state} after ${rollout.seconds.toFixed(0)} s, ${rollout.succeeded} devices succeeded; ${rollout.told} were told, and reported something new ${rollout.reported} times; what plain heartbeats take in that time (${rollout.plainSeconds.toFixed(0)} s) is taken off; memory at most ${rollout.memoryMB.toFixed(0)} MB`,
    },
    {
      measure: 'heartbeats at the limit',
      unit: 'heartbeats/s',
      ours: flood.perSecond,
      target: { of: 'ours', atLeast: 8_000 },
      note: `${processorUs.toFixed(0)} µs of processor time each; p99 ${flood.p99Ms.toFixed(0)} ms; ${said(flood)}`,
    },
    { measure: 'registrations', unit: 'registrations/s', ours: joined.perSecond, note: said(joined) },
    {
      measure: 'all back after a restart',
      unit: 's',
      ours: back.errors > 0 ? null : back.allAnsweredAfterSeconds,
      target: { of: 'ours', atMost: intervalSeconds + 1 },
      note: `devices come at their own time within ${intervalSeconds} s; ${said(back)}`,
    },
    {
      measure: 'page of 100 devices, p99',
      unit: 'ms',
      ours: pages.page,
      target: { of: 'ours', atMost: 200 },
      note: `by API; a search that finds one of all: ${pages.search.toFixed(0)} ms`,
    },
  ]
}

interface RolloutCost {
  state: string
  /** How long its creation took to be answered. */
  answeredSeconds: number
  succeeded: number
  told: number
  reported: number
  seconds: number
  toldMostSeconds: number | null
  processorSeconds: number
  plainSeconds: number
  memoryMB: number
}

/** Rolls a release out to everyone at once while the fleet goes on, and sees what that costs beside plain heartbeats. */
async function timeRollout(parts: {
  url: string
  pid: number
  fleet: ReturnType<typeof startFleet>
  run: Pick<FleetRun, 'url' | 'path' | 'requests' | 'devices' | 'connections'>
}): Promise<RolloutCost> {
  const { pid, fleet, run } = parts
  const client = await signedIn(parts.url)
  const channel = await client.channels.create({ body: { data: { name: 'bench' } } })
  await client.deviceGroups.create({ body: { data: { name: 'everyone', appChannelId: channel.id } } })
  const services = [{ name: 'web', image: 'bench/web:1' }]
  const data = { product: 'bench', version: '1.0.0', type: 'app' as const, services }
  const release = await client.releases.create({ body: { data } })
  const fly = (seconds: number) =>
    fleet.run({
      ...run,
      perSecond: null,
      seconds,
      warmUpSeconds: 0,
      untilAllAnswered: false,
      agentIntervalMs: intervalSeconds * 1000,
    })
  // Joining a group changed what everyone is computed from; then a round of nothing but heartbeats.
  await fly(intervalSeconds)
  const plainBefore = processorMs(pid)
  await fly(intervalSeconds / 2)
  const plainShare = (processorMs(pid) - plainBefore) / 1000 / (intervalSeconds / 2)
  const memory = watchMemory(pid)
  const flying = fly(3 * intervalSeconds)
  const before = processorMs(pid)
  const startedAt = Date.now()
  const { id } = await client.releaseRollouts.create({
    body: { data: { channelId: channel.id, releaseId: release.id } },
  })
  const answeredSeconds = (Date.now() - startedAt) / 1000
  const ended = { seconds: 0, processorMs: 0 }
  const look = async () => (await client.releaseRollouts.get({ params: { id } })).status
  for (let status = await look(); ended.seconds < 3 * intervalSeconds; status = await look()) {
    ended.seconds = (Date.now() - startedAt) / 1000
    ended.processorMs = processorMs(pid)
    if (status.counts.succeeded === devices) break
    await delay(1000)
  }
  const { told, toldMostAt, reported } = await flying
  const { state, counts } = await look()
  const plainSeconds = plainShare * ended.seconds
  return {
    state,
    answeredSeconds,
    succeeded: counts.succeeded,
    told,
    reported,
    seconds: ended.seconds,
    toldMostSeconds: toldMostAt === null ? null : (toldMostAt - startedAt) / 1000,
    processorSeconds: (ended.processorMs - before) / 1000 - plainSeconds,
    plainSeconds,
    memoryMB: memory.stop(),
  }
}

function startFleet() {
  const child = fork(new URL('./device-fleet.ts', import.meta.url), { execPath: process.execPath })
  return {
    async run(run: FleetRun): Promise<FleetResult> {
      child.send({ run })
      const [message] = (await once(child, 'message')) as [{ result?: FleetResult; error?: string }]
      if (message.result === undefined) throw new Error(`The fleet failed: ${message.error}`)
      return message.result
    },
    stop: () => child.kill(),
  }
}

/** Processor time a process has taken, user and system, from /proc/PID/stat in ticks of 10 ms (proc(5)). */
function processorMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) * 10
}

function watchMemory(pid: number) {
  let most = 0
  const timer = setInterval(() => {
    try {
      most = Math.max(most, memoryOfTree(pid))
    } catch {
      // It has ended; whoever waits for it says why.
      clearInterval(timer)
    }
  }, 1000)
  return {
    stop() {
      clearInterval(timer)
      return most
    },
  }
}

/** Writes the fleet straight into the store, enrolled and heard before. */
async function seed(directory: string): Promise<void> {
  const list: AnyKind[] = Object.values(kinds)
  const store = await openSqliteStore({ directory, kinds: list })
  const expiresAt = new Date(Date.now() + 80 * 86_400_000).toISOString()
  const at = new Date().toISOString()
  try {
    await seedImage(store)
    for (let from = 0; from < devices; from += 250) {
      await store.transaction(actor, async (transaction) => {
        for (let index = from; index < from + 250; index += 1) {
          const { id } = await transaction.create(deviceKind, {
            data: {
              name: `device-${index}`,
              description: '',
              nodeId: nodeIdOf(index),
              access: 'allowed',
              readoptUntil: null,
              pinnedAppReleaseId: null,
              pinnedHostReleaseId: null,
              actions: [],
            },
            status: { ...deviceKind.initialStatus, state: 'online', message: 'Heard.', since: at, enrolledAt: at },
            labels: { site: `site-${index % 100}` },
          })
          await transaction.create(deviceCredentialKind, {
            data: {
              deviceId: id,
              purpose: 'token',
              hash: hash('sha256', nodeTokenOf(index), 'base64url'),
              expiresAt,
              used: true,
            },
          })
        }
      })
      await delay(0)
    }
  } finally {
    await store.close()
  }
}

/** Rows as a push leaves them: the image that the release is made of. */
async function seedImage(store: Store): Promise<void> {
  const [repository, digest] = ['bench/web', `sha256:${'1'.repeat(64)}`]
  const pushedBy = 'bench'
  await store.transaction(actor, async (transaction) => {
    await transaction.create(imageKind, {
      data: { name: repository, description: '', location: { internal: true } as const },
    })
    await transaction.create(manifestKind, {
      data: {
        repository,
        digest,
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        size: 100,
        artifactType: 'application/vnd.oci.image.config.v1+json',
        annotations: {},
        blobs: [],
        manifests: [],
        subject: null,
        pushedBy,
      },
    })
    await transaction.create(tagKind, {
      data: { repository, name: '1', digest, pushedBy },
      status: { pushedAt: new Date().toISOString() },
    })
  })
}

async function timePages(url: string): Promise<{ page: number; search: number }> {
  const client = await signedIn(url)
  const timesMs: number[] = []
  let cursor: string | undefined
  for (let turn = 0; turn < 100; turn += 1) {
    const startedAt = performance.now()
    const page = await client.devices.list({ query: { limit: 100, ...(cursor === undefined ? {} : { cursor }) } })
    timesMs.push(performance.now() - startedAt)
    cursor = page.nextCursor ?? undefined
  }
  const startedAt = performance.now()
  const found = await client.devices.list({ query: { search: `device-${devices - 1}` } })
  if (found.items.length !== 1) throw new Error(`The search found ${found.items.length} devices.`)
  return { page: percentile(timesMs, 0.99), search: performance.now() - startedAt }
}

async function makeJoinToken(url: string): Promise<string> {
  const client = await signedIn(url)
  const made = await client.joinTokens.create({ body: { data: { name: `bench-${Date.now()}`, uses: null } } })
  return made.joinToken
}

async function signedIn(url: string) {
  const { username, password } = labAdministrator()
  const { token } = await createClient({ url }).auth.login({ body: { username, password } })
  // Beginning a rollout over all reads every device before it answers.
  return createClient({ url, token, timeoutMs: 180_000 })
}

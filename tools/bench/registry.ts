import { readFileSync, writeFileSync } from 'node:fs'
import { type Content, createContents, createImage, type Image, type Registry, Session } from './registry-client.ts'
import { startLimits } from './registry-limits.ts'
import { type Running, startDockerRegistry, startOurs } from './registry-servers.ts'
import { median, type Part, type Row } from './row.ts'

const runs = 5
const layerMebibytes = 512
const imageLayers = 100
const connections = 16
const manifestsForMs = 1500
const repository = 'bench/one'

const measures = {
  pushLayer: { measure: 'push a layer of 512 MiB', unit: 'MB/s', atLeast: 1 },
  pullLayer: { measure: 'pull a layer of 512 MiB', unit: 'MB/s', atLeast: 1 },
  pushImage: { measure: 'push 100 layers of 1 MiB, 16 connections', unit: 'MB/s', atLeast: 1 },
  pullImage: { measure: 'pull 100 layers of 1 MiB, 16 connections', unit: 'MB/s', atLeast: 1 },
  manifest: { measure: 'manifest by tag, 16 connections', unit: 'requests/s', atLeast: 2 },
} as const
type Measure = keyof typeof measures
const names = Object.keys(measures) as Measure[]
type Figures = Record<Measure, number[]>

/**
 * The registry beside Debian's docker-registry: the same client, the same disk, plain HTTP on loopback, taking turns.
 * Ours is asked with a token, the peer lets everybody in.
 */
export const registryPart: Part = {
  name: 'registry',
  async run(): Promise<Row[]> {
    await using stack = new AsyncDisposableStack()
    const ours = await startOurs()
    stack.defer(() => ours.stop())
    const peer = await startDockerRegistry()
    if (peer !== undefined) stack.defer(() => peer.stop())
    const limits = await startLimits()
    stack.defer(() => limits.stop())
    const figures = { ours: emptyFigures(), peer: emptyFigures() }
    // First, because a process that has served before holds memory already that it would grow by.
    const growth = await memoryGrowth(ours)
    const peerGrowth = peer === undefined ? undefined : await memoryGrowth(peer)
    for (let index = 0; index < runs; index += 1) {
      const turns = [() => measureOnce(ours, figures.ours), async () => peer && measureOnce(peer, figures.peer)]
      for (const turn of index % 2 === 0 ? turns : turns.toReversed()) await turn()
      await limits.measureOnce()
    }
    return [
      ...names.map((name) => rowOf(name, figures, peer)),
      ...memoryRows(growth, peer && peerGrowth && { name: peer.name, ...peerGrowth }),
      ...limits.rows(),
    ]
  },
}

function emptyFigures(): Figures {
  return { pushLayer: [], pullLayer: [], pushImage: [], pullImage: [], manifest: [] }
}

/** One turn. What it pushed is taken off the disk again, so that every turn writes to the same room. */
async function measureOnce(registry: Running, figures: Figures): Promise<void> {
  const [layer] = createContents({ count: 1, mebibytes: layerMebibytes })
  const image = createImage({ layers: imageLayers, layerMebibytes: 1 })
  if (layer === undefined) return
  await withSession(registry, 1, async (session) => {
    figures.pushLayer.push(await megabytesPerSecond([layer], () => session.pushBlobs([layer])))
    figures.pullLayer.push(await megabytesPerSecond([layer], () => session.pullBlobs([layer])))
  })
  const blobs = [...image.layers, image.config]
  await withSession(registry, connections, async (session) => {
    figures.pushImage.push(await megabytesPerSecond(blobs, () => pushImage(session, image)))
    figures.pullImage.push(await megabytesPerSecond(blobs, () => pullImage(session, image)))
    const options = { expected: image.manifest, forMs: manifestsForMs }
    const startedAt = performance.now()
    const count = await session.repeatManifest('latest', options)
    figures.manifest.push((count / (performance.now() - startedAt)) * 1000)
    await session.verify(layer)
  })
  for (const content of [layer, ...image.layers]) await registry.removeBytes(content)
}

async function pushImage(session: Session, { layers, config, manifest }: Image): Promise<void> {
  await session.pushBlobs([...layers, config])
  await session.pushManifest(manifest, 'latest')
}

async function pullImage(session: Session, { layers, config, manifest }: Image): Promise<void> {
  await session.pullManifest('latest', manifest)
  await session.pullBlobs([config, ...layers])
}

interface Growth {
  megabytes: number
  megabytesPerSecond: number
}

/** How far the resident memory rises above what it was while 16 large layers come in at once (proc(5), `VmHWM`). */
async function memoryGrowth(registry: Running): Promise<Growth> {
  const contents = createContents({ count: connections, mebibytes: layerMebibytes })
  const small = createContents({ count: 1, mebibytes: 1 })
  await withSession(registry, 1, (session) => session.pushBlobs(small))
  const before = memoryOf(registry, 'VmRSS')
  // Resets the highest value to the present one.
  writeFileSync(`/proc/${registry.pid}/clear_refs`, '5')
  const speed = await withSession(registry, connections, (session) =>
    megabytesPerSecond(contents, () => session.pushBlobs(contents)),
  )
  const growth = { megabytes: memoryOf(registry, 'VmHWM') - before, megabytesPerSecond: speed }
  for (const content of [...contents, ...small]) await registry.removeBytes(content)
  return growth
}

/** In MB (10^6 bytes). */
function memoryOf({ pid }: Registry, field: 'VmRSS' | 'VmHWM'): number {
  const found = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  if (found === undefined) throw new Error(`The kernel says nothing of the memory of process ${pid}.`)
  return (Number(found) * 1024) / 1_000_000
}

async function withSession<T>(registry: Registry, count: number, work: (session: Session) => Promise<T>): Promise<T> {
  const session = await Session.open(registry, { repository, connections: count })
  try {
    return await work(session)
  } finally {
    session.close()
  }
}

async function megabytesPerSecond(contents: readonly Content[], work: () => Promise<void>): Promise<number> {
  const startedAt = performance.now()
  await work()
  const sizeBytes = contents.reduce((sum, content) => sum + content.sizeBytes, 0)
  return sizeBytes / 1000 / (performance.now() - startedAt)
}

function rowOf(name: Measure, figures: { ours: Figures; peer: Figures }, peer: Running | undefined): Row {
  const { measure, unit, atLeast } = measures[name]
  const ours = figures.ours[name]
  const row: Row = { measure, unit, ours: median(ours), target: { of: 'ratio', atLeast } }
  if (peer === undefined) return { ...row, note: 'no peer: docker-registry is not installed' }
  const theirs = figures.peer[name]
  const pairs = ours.map((value, index) => value / (theirs[index] ?? Number.NaN))
  return {
    ...row,
    peer: { name: peer.name, value: median(theirs) },
    note: `medians of ${runs}, taking turns; ours ${spread(ours, 0)}, peer ${spread(theirs, 0)}, ratio pair by pair ${spread(pairs, 2)}, median ${median(pairs).toFixed(2)}`,
  }
}

function memoryRows(ours: Growth, peer: (Growth & { name: string }) | undefined): Row[] {
  const beside = (value: keyof Growth) => (peer === undefined ? {} : { peer: { name: peer.name, value: peer[value] } })
  return [
    {
      measure: 'memory growth, 16 pushes of 512 MiB at once',
      unit: 'MB',
      ours: ours.megabytes,
      ...beside('megabytes'),
      target: { of: 'ours', atMost: 64 },
      note: 'highest resident memory during them, less that of the process newly started and after one push of 1 MiB',
    },
    {
      measure: '16 pushes of 512 MiB at once',
      unit: 'MB/s',
      ours: ours.megabytesPerSecond,
      ...beside('megabytesPerSecond'),
    },
  ]
}

function spread(values: readonly number[], digits: number): string {
  return `${Math.min(...values).toFixed(digits)} to ${Math.max(...values).toFixed(digits)}`
}

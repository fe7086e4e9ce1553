import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { copyFile, readFile, stat, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { startProgram, temporaryFolder, waitFor } from '../../test/system/lab/index.ts'
import { makeDiskImage, makeUbuntuShapedIso, whyNoBaseImages } from '../base-images.ts'
import { median, type Part, type Row } from './row.ts'

const gigabyte = 1_000_000_000
const isoBytes = 2.6 * gigabyte
const diskBytes = 2 * gigabyte
const runs = 3
const entry = 'packages/image-tool/src/main.ts'

/** Images of the size of those that one downloads: the time of a build beside copying and hashing the base, and its memory. */
export const imagesPart: Part = {
  name: 'images',
  async run(): Promise<Row[]> {
    const why = whyNoBaseImages()
    if (why !== undefined) return [{ measure: 'image builds', unit: 's', ours: null, note: why }]
    const folder = await temporaryFolder('bench-images')
    try {
      return [...(await measureIso(folder.path)), ...(await measureDisk(folder.path))]
    } finally {
      await folder.remove()
    }
  },
}

async function measureIso(folder: string): Promise<Row[]> {
  const base = join(folder, 'base.iso')
  await makeUbuntuShapedIso(base, { payloadBytes: isoBytes })
  const config = {
    ...{ version: 1, kind: 'ubuntu-iso', architecture: 'amd64', hostname: 'box' },
    ...{ base: { path: base, unverified: true }, output: { path: 'out.iso' } },
    files: [{ path: '/etc/baseos/baserunner.env', content: 'A=1\n' }],
  }
  const { pairs, peakMB, diskBytes: written } = await measure(folder, { base, config, output: 'out.iso' })
  const ours = median(pairs.map((pair) => pair.buildMs)) / 1000
  const peer = median(pairs.map((pair) => pair.copyMs + pair.hashMs)) / 1000
  return [
    {
      measure: `repack of an ISO of ${isoBytes / gigabyte} GB`,
      unit: 's',
      ours,
      peer: { name: 'cp and hash', value: peer },
      target: { of: 'ratio', atMost: 1.3 },
    },
    memoryRow('repack', peakMB),
    diskRow('repack', { written, base: (await stat(base)).size, output: (await stat(join(folder, 'out.iso'))).size }),
  ]
}

async function measureDisk(folder: string): Promise<Row[]> {
  const base = join(folder, 'base.img')
  await makeDiskImage(base, { table: 'gpt', dataBytes: diskBytes - 62 * 1024 * 1024 })
  await fillUp(base)
  const config = {
    ...{ version: 1, kind: 'balena-raw', architecture: 'rpi', hostname: 'dev', compression: 'none' },
    ...{ base: { path: base, unverified: true }, output: { path: 'out.img' } },
    wifi: { ssid: 'shop', passphrase: 'long enough' },
    files: [{ path: '/etc/baseos/baserunner.env', content: 'A=1\n', partition: 'state' }],
  }
  const { pairs, peakMB, diskBytes: written } = await measure(folder, { base, config, output: 'out.img' })
  const ours = median(pairs.map((pair) => pair.buildMs - pair.copyMs)) / 1000
  return [
    {
      measure: `configuration into an image of ${diskBytes / gigabyte} GB, beyond the copy`,
      unit: 's',
      ours,
      target: { of: 'ours', atMost: 2 },
      note: `the copy ${(median(pairs.map((pair) => pair.copyMs)) / 1000).toFixed(1)} s, hashing alone ${(median(pairs.map((pair) => pair.hashMs)) / 1000).toFixed(1)} s`,
    },
    memoryRow('configuration', peakMB),
    diskRow('configuration', {
      written,
      base: (await stat(base)).size,
      output: (await stat(join(folder, 'out.img'))).size,
    }),
  ]
}

interface Pair {
  buildMs: number
  copyMs: number
  hashMs: number
}

/** Builds and plain copies in turns, so that both meet the same machine. The first build also hashes the base and is not counted. */
async function measure(
  folder: string,
  { base, config, output }: { base: string; config: object; output: string },
): Promise<{ pairs: Pair[]; peakMB: number; diskBytes: number }> {
  const file = join(folder, 'config.json')
  await writeFile(file, JSON.stringify(config))
  const argv = [
    process.execPath,
    entry,
    'build',
    '--config',
    file,
    '--cache',
    join(folder, 'cache'),
    '--workdir',
    join(folder, 'work'),
  ]
  const { peakMB, usedBytes } = await build(argv, folder)
  const pairs: Pair[] = []
  for (let run = 0; run < runs; run += 1) {
    const copy = join(folder, 'copy')
    const copyMs = await timed(async () => {
      await copyFile(base, copy)
      await startAndEnd(['sync', copy])
    })
    const hashMs = await timed(() => hash(copy))
    await startAndEnd(['rm', '-f', copy, join(folder, output)])
    pairs.push({ copyMs, hashMs, buildMs: await timed(() => startAndEnd(argv)) })
  }
  return { pairs, peakMB, diskBytes: usedBytes }
}

/** One build that is looked at: the largest memory of it and all it starts, and the most it took of the disk. */
async function build(argv: readonly string[], folder: string): Promise<{ peakMB: number; usedBytes: number }> {
  const freeAtFirst = await freeBytes(folder)
  const program = await startProgram(argv)
  let [peakBytes, usedBytes] = [0, 0]
  await waitFor(
    async () => {
      peakBytes = Math.max(peakBytes, await memoryBelow(program.pid))
      usedBytes = Math.max(usedBytes, freeAtFirst - (await freeBytes(folder)))
      return program.ended() !== undefined
    },
    { what: 'a build', timeoutMs: 600_000, everyMs: 20 },
  )
  if (program.ended()?.code !== 0) throw new Error(program.output().slice(-2000))
  return { peakMB: peakBytes / 1_000_000, usedBytes }
}

/** Proportional set size of a process and its children. */
async function memoryBelow(pid: number): Promise<number> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '')
  const own = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8').catch(() => '')
  const kilobytes = Number(/^Pss:\s+(\d+) kB/m.exec(own)?.[1] ?? 0)
  const below = await Promise.all(
    children
      .trim()
      .split(' ')
      .filter(Boolean)
      .map((child) => memoryBelow(Number(child))),
  )
  return kilobytes * 1024 + below.reduce((sum, bytes) => sum + bytes, 0)
}

function memoryRow(name: string, peakMB: number): Row {
  return { measure: `memory of a ${name}, at most`, unit: 'MB', ours: peakMB, target: { of: 'ours', atMost: 200 } }
}

function diskRow(name: string, { written, base, output }: { written: number; base: number; output: number }): Row {
  return {
    measure: `disk of a ${name}, base included`,
    unit: 'MB',
    ours: (base + written) / 1_000_000,
    peer: { name: 'input and output', value: (base + output) / 1_000_000 },
    target: { of: 'ratio', atMost: 1.1 },
  }
}

async function startAndEnd(argv: readonly string[]): Promise<void> {
  const program = await startProgram(argv)
  await waitFor(() => program.ended() !== undefined, { what: argv.join(' '), timeoutMs: 600_000, everyMs: 5 })
  if (program.ended()?.code !== 0) throw new Error(`${argv.join(' ')}: ${program.output().slice(-2000)}`)
}

async function hash(path: string): Promise<void> {
  const digest = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) digest.update(chunk)
  digest.digest()
}

/** Reading holes costs nothing; a base that was downloaded has none. */
async function fillUp(path: string): Promise<void> {
  const whole = `${path}.whole`
  await startAndEnd(['cp', '--sparse=never', path, whole])
  await startAndEnd(['mv', whole, path])
}

async function timed(work: () => Promise<void>): Promise<number> {
  const startedAt = performance.now()
  await work()
  return performance.now() - startedAt
}

async function freeBytes(folder: string): Promise<number> {
  const { bfree, bsize } = await statfs(folder)
  return bfree * bsize
}

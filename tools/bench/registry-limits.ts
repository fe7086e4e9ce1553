import { createHash, randomBytes } from 'node:crypto'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { temporaryFolder } from '../../test/system/lab/index.ts'
import { Connection } from './registry-connection.ts'
import { median, type Row } from './row.ts'

const mebibytes = 512
const blockBytes = 1024 * 1024
const megabytes = (mebibytes * blockBytes) / 1_000_000

/** What the machine itself gives for the same 512 MiB, measured among the turns: no registry can be faster. */
export interface Limits {
  measureOnce(): Promise<void>
  rows(): Row[]
  stop(): Promise<void>
}

export async function startLimits(): Promise<Limits> {
  const folder = await temporaryFolder('bench')
  const { worker, url } = await startSink()
  const block = randomBytes(blockBytes)
  const blocks = Array.from({ length: mebibytes }, () => block)
  const disk: number[] = []
  const fsyncMs: number[] = []
  const loopback: number[] = []
  const digest: number[] = []

  // The same room every time: a virtual disk and a virtual machine's memory are slow where they were never touched.
  const file = await open(join(folder.path, 'bytes'), 'w')
  await writeFile()
  disk.length = 0
  fsyncMs.length = 0

  async function writeFile(): Promise<void> {
    const startedAt = performance.now()
    for (const [index, next] of blocks.entries()) await file.write(next, 0, blockBytes, index * blockBytes)
    const writtenAt = performance.now()
    await file.sync()
    fsyncMs.push(performance.now() - writtenAt)
    disk.push(megabytes / ((performance.now() - startedAt) / 1000))
  }

  async function sendBlocks(): Promise<void> {
    const connection = await Connection.open(url)
    const startedAt = performance.now()
    await connection.ask({ method: 'POST', path: '/', blocks })
    loopback.push(megabytes / ((performance.now() - startedAt) / 1000))
    connection.close()
  }

  function hashBlocks(): void {
    const startedAt = performance.now()
    const hash = createHash('sha256')
    for (const next of blocks) hash.update(next)
    hash.digest()
    digest.push(megabytes / ((performance.now() - startedAt) / 1000))
  }

  return {
    async measureOnce() {
      await writeFile()
      await sendBlocks()
      hashBlocks()
    },
    rows: () => [
      limitRow(
        'limit: the disk',
        disk,
        `512 MiB written over a file and fsynced, of which the fsync took ${range(fsyncMs)} ms`,
      ),
      limitRow('limit: loopback', loopback, '512 MiB sent by the same client to a reader that drops them'),
      limitRow('limit: SHA-256', digest, 'one core, 512 MiB that lie in memory'),
    ],
    async stop() {
      await worker.terminate()
      await file.close()
      await folder.remove()
    },
  }
}

function limitRow(measure: string, values: readonly number[], what: string): Row {
  return { measure, unit: 'MB/s', ours: median(values), note: `${what}; ${range(values)} MB/s` }
}

function range(values: readonly number[]): string {
  return `${Math.min(...values).toFixed(0)} to ${Math.max(...values).toFixed(0)}`
}

/** A socket that reads a request into one buffer for ever and answers at its end, on a thread of its own. */
async function startSink(): Promise<{ worker: Worker; url: string }> {
  const worker = new Worker(new URL('registry-sink.ts', import.meta.url), {
    workerData: { lengthBytes: mebibytes * blockBytes },
  })
  const port = await new Promise<number>((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
  })
  return { worker, url: `http://127.0.0.1:${port}` }
}

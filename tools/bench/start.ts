import { setTimeout as delay } from 'node:timers/promises'
import { freePort, startProgram, temporaryFolder } from '../../test/system/lab/index.ts'
import { median, type Part, type Row } from './row.ts'

const runs = 5
const limitMs = 60_000
const entry = 'packages/server/src/main.ts'

/** Spawn to the first 200 of /health: on a new data directory once, then on that directory several times. */
export const startPart: Part = {
  name: 'start',
  async run(): Promise<Row[]> {
    const folder = await temporaryFolder('bench')
    try {
      const first = await startOnce(folder.path)
      const timesMs: number[] = []
      for (let index = 0; index < runs; index += 1) timesMs.push(await startOnce(folder.path))
      return [
        {
          measure: 'start to ready',
          unit: 'ms',
          ours: median(timesMs),
          target: { of: 'ours', atMost: 1500 },
          note: `median of ${runs} starts on an existing data directory; on a new one ${Math.round(first)} ms`,
        },
      ]
    } finally {
      await folder.remove()
    }
  },
}

async function startOnce(dataDirectory: string): Promise<number> {
  const port = await freePort()
  const startedAt = performance.now()
  const program = await startProgram([process.execPath, entry], {
    env: { FREEHOLD_DATA_DIR: dataDirectory, SERVEZONE_PORT: String(port), FREEHOLD_LOCAL_CLUSTER: 'off' },
  })
  try {
    while (!(await isHealthy(port))) {
      const late = performance.now() - startedAt > limitMs
      if (late || program.ended() !== undefined)
        throw new Error(`The control plane did not start:\n${program.output()}`)
      await delay(5)
    }
    return performance.now() - startedAt
  } finally {
    await program.stop()
  }
}

async function isHealthy(port: number): Promise<boolean> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/health`, { signal: AbortSignal.timeout(1000) })
    await response.arrayBuffer()
    return response.status === 200
  } catch {
    return false
  }
}

import { execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { createRandom } from '@freehold/reconcile'
import { expect, test } from 'vitest'
import { layOutTwoRoots } from './two-roots.ts'

const seed = process.env.FREEHOLD_TWO_ROOTS_SEED ?? randomBytes(4).readUInt32LE().toString()
const seconds = Number(process.env.FREEHOLD_TWO_ROOTS_SECONDS ?? 8)

/** KILL at random moments of updates that follow each other; FREEHOLD_TWO_ROOTS_SEED repeats the moments of a run. */
test('a host whose update is killed at random always has a whole root that boots, and goes on', async () => {
  console.log(`FREEHOLD_TWO_ROOTS_SEED=${seed}`)
  const random = createRandom(Number(seed))
  const folder = await mkdtemp(join(tmpdir(), 'two-roots-killed-'))
  try {
    await mkdir(join(folder, 'a/etc'), { recursive: true })
    await writeFile(join(folder, 'a/etc/os-release'), 'VERSION_ID="1.5.0"\n')
    await layOutTwoRoots(folder)
    const booted = new Set<string>()
    let kills = 0
    let finished = 0
    const endsAt = Date.now() + seconds * 1000
    while (Date.now() < endsAt || kills < 3) {
      finished += await updateUntilKilled(folder, random.below(400))
      kills += 1
      booted.add(await bootedVersion(folder))
    }
    console.log(`${kills} kills, ${finished} updates, booted ${[...booted].join(' ')}`)
    // Left alone it gets through.
    await updateUntilDone(folder)
    expect(['2.0.0', '3.0.0']).toContain(await bootedVersion(folder))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})

function started(folder: string) {
  const program = join(import.meta.dirname, 'two-roots.fixture.ts')
  const child = spawn(process.execPath, [program, folder], { stdio: ['ignore', 'pipe', 'pipe'] })
  let text = ''
  let faults = ''
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (faults += chunk.toString()))
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()))
  const until = async (lines: number) => {
    while (text.split('\n').length <= lines) {
      if (child.exitCode !== null) throw new Error(`The update ended by itself: ${faults}`)
      await sleep(5)
    }
  }
  const kill = async () => {
    child.kill('SIGKILL')
    await closed
    expect(faults).not.toContain('Error')
    return text.split('\n').length - 2
  }
  return { until, kill }
}

async function updateUntilKilled(folder: string, afterMs: number): Promise<number> {
  const update = started(folder)
  await update.until(1)
  await sleep(afterMs)
  return update.kill()
}

async function updateUntilDone(folder: string): Promise<void> {
  const update = started(folder)
  await update.until(2)
  await update.kill()
}

async function bootedVersion(folder: string): Promise<string> {
  const program = join(import.meta.dirname, 'two-roots-boot.ts')
  const { stdout } = await promisify(execFile)(process.execPath, [program, folder])
  const root = stdout.trim()
  const version = /VERSION_ID="(.+)"/.exec(await readFile(join(root, 'etc/os-release'), 'utf8'))?.[1] ?? 'none'
  for (let index = 0; version !== '1.5.0' && index < 60; index += 1) {
    expect(await readFile(join(root, `usr/share/part-${index}`), 'utf8')).toBe(`${version}\n`)
  }
  return version
}

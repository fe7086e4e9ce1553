import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { kinds, updateKeyKind, updateMetadataKind } from '@freehold/contracts'
import type { Store } from '@freehold/store'
import { openPostgresStore } from '@freehold/store/postgres'
import { describe, expect, test } from 'vitest'
import { type RunningPostgres, startPostgres } from '../../../../tools/postgres.ts'
import { newReleaseId, startWorld, textFile } from './world.testing.ts'

/** Processes that die at any moment, and two that work on one store. */
const fixture = fileURLToPath(new URL('./crash.fixture.ts', import.meta.url))
const keysTarget = 'keys/assignments.json'

/** Kills the process once it has said so many lines, at whatever it is doing then; answers the last line. */
async function runAndKill(directory: string, { round, lines }: { round: number; lines: number }): Promise<string> {
  const child = spawn(process.execPath, [fixture, directory, String(round)], { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  let last = ''
  let said = 0
  for await (const line of createInterface({ input: child.stdout })) {
    last = line
    said += 1
    if (said === lines) child.kill('SIGKILL')
  }
  const [code, signal] = await exited
  expect([code, signal]).toEqual([null, 'SIGKILL'])
  return last
}

test('a control plane that is killed again and again leaves a repository that its devices accept', async () => {
  const world = await startWorld()
  try {
    await world.pass()
    const client = await world.client()
    for (const [round, lines] of [1, 2, 4, 7].entries()) {
      const path = await world.away(() => runAndKill(join(world.directory, 'store'), { round: round + 1, lines }))
      expect(await client.read(path)).toBe(`{"of":"${path}"}`)
      await world.pass()
      expect((await world.state()).problems).toEqual([])
      await client.read(keysTarget)
    }
    await (await world.client()).read(keysTarget)
  } finally {
    await world.close()
  }
})

const postgres = await startPostgres()
if ('skipped' in postgres) console.warn(`Two processes on PostgreSQL were not tested: ${postgres.skipped}`)

describe.skipIf('skipped' in postgres)('two processes on one PostgreSQL', () => {
  test('make one repository, and lose nothing of what both publish', async () => {
    const { url, stop } = postgres as RunningPostgres
    const openStore = (): Promise<Store> => openPostgresStore({ url, kinds: Object.values(kinds) })
    const worlds = await Promise.all([startWorld({ openStore }), startWorld({ openStore })])
    try {
      await Promise.all(worlds.map((world) => world.pass()))
      const [first] = worlds
      if (first === undefined) throw new Error('There is no world.')
      expect(await first.store().count(updateMetadataKind, { where: { role: 'root' } })).toBe(1)
      expect(await first.store().count(updateKeyKind)).toBe(5)
      const client = await first.client()
      const paths = Array.from({ length: 20 }, (_value, index) => `baseos/x/1.0.${index}/manifest.json`)
      await Promise.all(paths.map((path, index) => worlds[index % 2]?.release(newReleaseId(), [textFile(path)])))
      for (const path of paths) await client.read(path)
      await Promise.all(worlds.map((world) => world.rotate('snapshot')))
      await client.read(keysTarget)
    } finally {
      await Promise.all(worlds.map((world) => world.close()))
      await stop()
    }
  })
})

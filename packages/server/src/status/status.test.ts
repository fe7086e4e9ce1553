import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { kinds, type statusSchema } from '@freehold/contracts'
import { systemClock, systemRandom } from '@freehold/reconcile'
import { openSqliteStore } from '@freehold/store'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import type { z } from 'zod'
import { createSealer, Secret } from '../secrets/index.ts'
import { createUpdatesNoun } from '../updates/index.ts'
import { createStatusNoun } from './index.ts'

test('problems are judged by the clock that is given, not by the time of day', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'freehold-status-'))
  const store = await openSqliteStore({ directory, kinds: Object.values(kinds) })
  try {
    const updates = createUpdatesNoun({
      store,
      blobs: { send: () => Promise.reject(new Error('Nobody asks for blobs here.')) } as never,
      sealer: createSealer(new Secret(Buffer.alloc(32, 1))),
      clock: systemClock,
      random: systemRandom,
      log: pino({ level: 'silent' }),
      authenticateDevice: async () => null,
      releasesOf: async () => new Set<string>(),
      authenticate: () => Promise.reject(new Error('Nobody signs in here.')),
      onPublished: async () => undefined,
    })
    await updates.prepare()
    let nowMs = Date.now()
    const { handlers } = createStatusNoun({
      store,
      version: '0.0.0',
      startedAt: new Date(nowMs).toISOString(),
      publicUrl: () => 'http://localhost',
      isServing: () => true,
      now: () => nowMs,
    })
    const problems = async () => {
      const answer = (await handlers.status.get({} as never)) as z.output<typeof statusSchema>
      return answer.problems.map(({ kind }) => kind)
    }
    expect(await problems()).toEqual([])
    nowMs += 10 * 365 * 86_400_000
    expect(await problems()).toContain('updates')
  } finally {
    await store.close()
    await rm(directory, { recursive: true, force: true })
  }
})

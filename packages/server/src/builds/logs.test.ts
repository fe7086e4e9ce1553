import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { kinds } from '@freehold/contracts'
import { openSqliteStore } from '@freehold/store'
import { expect, test } from 'vitest'
import { createBuildLogs } from './logs.ts'

test('who follows slowly is told every line, also those that are said while it takes the ones before', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'freehold-build-logs-'))
  const store = await openSqliteStore({ directory, kinds: Object.values(kinds) })
  try {
    const logs = createBuildLogs({ store, now: () => Date.now() })
    await logs.open('a')
    let hasEnded = false
    const say = (text: string) => logs.add('a', { attempt: 1, text })
    for (const text of ['one', 'two']) say(text)
    const told: string[] = []
    const follower = logs.follow('a', { hasEnded: async () => hasEnded, signal: new AbortController().signal })
    for await (const { text } of follower) {
      told.push(text)
      if (text === 'one') say('three')
      if (text === 'three') {
        say('four')
        hasEnded = true
        logs.tell('a')
      }
    }
    expect(told).toEqual(['one', 'two', 'three', 'four'])
  } finally {
    await store.close()
    await rm(directory, { recursive: true, force: true })
  }
})

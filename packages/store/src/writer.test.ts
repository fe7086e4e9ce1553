import { FreeholdError } from '@freehold/contracts'
import { expect, test } from 'vitest'
import { genesis } from './chain.ts'
import type { Session } from './engine.ts'
import { createWriter } from './writer.ts'

type Step = 'begin' | 'apply' | 'commit' | 'rollback'

/** An engine without rows. Each step takes the next entry of its script: a sentence is thrown, anything else works. */
function scripted(script: Partial<Record<Step, (string | undefined)[]>>) {
  const steps: Step[] = []
  let isOpen = false
  const take = (step: Step): void => {
    steps.push(step)
    const sentence = script[step]?.shift()
    if (sentence !== undefined) throw new FreeholdError('unavailable', sentence)
  }
  const session: Session = {
    begin() {
      take('begin')
      if (isOpen) throw new Error('cannot start a transaction within a transaction')
      isOpen = true
      return genesis
    },
    commit() {
      take('commit')
      isOpen = false
    },
    rollback() {
      take('rollback')
      isOpen = false
    },
    apply: () => take('apply'),
    get: () => undefined,
    page: () => ({ rows: [], version: 0 }),
    count: () => 0,
    holder: () => undefined,
    savepoint() {},
    release() {},
    rollbackToSavepoint() {},
    writeFacts() {},
    prune() {},
  }
  const writer = createWriter({
    session,
    tools: { cursorKey: '', now: () => 0, newId: () => '', checkKind: () => {} },
    transactionTimeoutMs: 5000,
    onCommit: () => {},
    onDelete: () => {},
  })
  return { writer, steps }
}

const actor = { type: 'system', id: 'test', name: 'test' } as const

test('a rollback that fails after a commit that failed is repeated before the next batch, which goes on', async () => {
  const { writer, steps } = scripted({ commit: ['the disk broke'], rollback: ['the rollback broke'] })
  await expect(writer.transaction(actor, async () => 1)).rejects.toThrow('the disk broke')
  expect(await writer.transaction(actor, async () => 2)).toBe(2)
  expect(steps).toEqual(['begin', 'commit', 'rollback', 'rollback', 'begin', 'commit'])
  await writer.close()
})

test('while the rollback keeps failing, every later piece of work is told so, and the writer can be closed', async () => {
  const { writer } = scripted({ commit: ['the disk broke'], rollback: Array(20).fill('the rollback broke') })
  await expect(writer.transaction(actor, async () => 1)).rejects.toThrow('the disk broke')
  await expect(writer.transaction(actor, async () => 2)).rejects.toThrow('the rollback broke')
  await expect(writer.maintain(() => 3)).rejects.toThrow('the rollback broke')
  await writer.close()
})

test('a batch that cannot begin fails everything that waits, and a failing rollback does not stop the writer', async () => {
  const { writer } = scripted({ begin: ['no connection'], rollback: ['no connection either'] })
  const failed = await Promise.allSettled([writer.transaction(actor, async () => 1), writer.maintain(() => 2)])
  expect(failed.map((outcome) => outcome.status === 'rejected' && outcome.reason.message)).toEqual([
    'no connection',
    'no connection',
  ])
  expect(await writer.transaction(actor, async () => 3)).toBe(3)
  await writer.close()
})

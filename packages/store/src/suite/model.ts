import { FreeholdError } from '@freehold/contracts'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Store, Transaction } from '../store.ts'
import { alice, bedFor, type MakeTestBed, readLog, service } from './test-bed.ts'

const runs = Number(process.env.FREEHOLD_STORE_RUNS ?? 25)
const limitMs = 120_000 + runs * 1000

/** `slot` names a resource by the order of its creation, so that a run can be written down and shrunk. */
type Operation =
  | { do: 'create'; name: string; cluster: string }
  | { do: 'update'; slot: number; name: string; cluster: string }
  | { do: 'status'; slot: number; phase: string }
  | { do: 'delete'; slot: number }
  | { do: 'count'; cluster: string }

interface Step {
  operations: Operation[]
  fails: boolean
  /** The store is closed and opened again before the step. */
  reopens: boolean
}

interface Modelled {
  name: string
  cluster: string
  phase: string
  generation: number
}

/** What the store should hold: a map from id to resource, the version, and nothing else. */
interface Model {
  resources: Map<string, Modelled>
  version: number
}

const names = fc.constantFrom('a', 'b', 'c', 'd')
const clusters = fc.constantFrom('x', 'y')
const slot = fc.nat(5)
const operation: fc.Arbitrary<Operation> = fc.oneof(
  fc.record({ do: fc.constant('create' as const), name: names, cluster: clusters }),
  fc.record({ do: fc.constant('update' as const), slot, name: names, cluster: clusters }),
  fc.record({ do: fc.constant('status' as const), slot, phase: fc.constantFrom('new', 'up') }),
  fc.record({ do: fc.constant('delete' as const), slot }),
  fc.record({ do: fc.constant('count' as const), cluster: clusters }),
)
const rarely = fc.nat(9).map((number) => number === 0)
const step: fc.Arbitrary<Step> = fc.record({
  operations: fc.array(operation, { minLength: 1, maxLength: 6 }),
  fails: rarely,
  reopens: rarely,
})

export function describeModel(make: MakeTestBed): void {
  describe('random operations', () => {
    it(
      'leave the store and a map in memory alike',
      async () => {
        await fc.assert(
          fc.asyncProperty(fc.array(step, { maxLength: 15 }), async (steps) => {
            const bed = await make()
            try {
              let store = await bed.open()
              const model: Model = { resources: new Map(), version: 0 }
              for (const next of steps) {
                if (next.reopens) {
                  await store.close()
                  store = await bed.open()
                }
                await runStep(store, model, next)
                await compare(store, model)
              }
              expect(await store.verifyAudit()).toEqual({ checked: model.version, firstBroken: null })
              await replay(store, model)
            } finally {
              await bed.remove()
            }
          }),
          { numRuns: runs },
        )
      },
      limitMs,
    )

    it('run at once leave what running them in the order of the log would', async () => {
      const bed = await bedFor(make)
      const store = await bed.open()
      const steps = fc.sample(step, { numRuns: 200, seed: 7 })
      const results = await Promise.allSettled(
        steps.map(({ operations, fails }) =>
          store.transaction(alice, async (t) => {
            for (const next of operations) await perform(t, await t.all(service), next)
            if (fails) throw new Error('meant to fail')
          }),
        ),
      )
      for (const result of results) {
        if (result.status === 'rejected') expect(String(result.reason)).toMatch(/meant to fail|already/)
      }
      const resources = new Map((await store.all(service)).map((found) => [found.id, found]))
      const replayed = new Map<string, unknown>()
      let version = 0
      for (const change of await readLog(store, 0, 500)) {
        expect(change.version).toBe(++version)
        if (change.before !== undefined) expect(change.before).toEqual(replayed.get(change.id) ?? null)
        if (change.after === null) replayed.delete(change.id)
        else replayed.set(change.id, change.after)
      }
      expect(replayed).toEqual(resources)
    })
  })
}

async function runStep(store: Store, model: Model, { operations, fails }: Step): Promise<void> {
  const next: Model = { resources: new Map(model.resources), version: model.version }
  const wanted = new Error('meant to fail')
  const run = store.transaction(alice, async (t) => {
    for (const each of operations) {
      const ids = [...next.resources.keys()].sort()
      const created = await perform(
        t,
        ids.map((id) => ({ id })),
        each,
      )
      if (each.do === 'count') {
        const expected = [...next.resources.values()].filter(({ cluster }) => cluster === each.cluster).length
        expect(await t.count(service, { where: { cluster: each.cluster } })).toBe(expected)
      }
      applyToModel(next, ids, each, created)
    }
    if (fails) throw wanted
  })
  const outcome = await run.then(
    () => undefined,
    (error: unknown) => error,
  )
  const held = [...next.resources.values()].map(({ name }) => name)
  if (fails) expect(outcome).toBe(wanted)
  else if (new Set(held).size < held.length) {
    expect(outcome).toBeInstanceOf(FreeholdError)
    expect(outcome).toMatchObject({ code: 'already-exists' })
  } else {
    expect(outcome).toBeUndefined()
    Object.assign(model, next)
  }
}

/** Does one operation and answers the id of what it created. */
async function perform(t: Transaction, resources: { id: string }[], next: Operation): Promise<string | undefined> {
  if (next.do === 'create') {
    return (await t.create(service, { data: { name: next.name, cluster: next.cluster } })).id
  }
  if (next.do === 'count') return void (await t.count(service, { where: { cluster: next.cluster } }))
  const id = resources[next.slot]?.id
  if (id === undefined) return undefined
  if (next.do === 'update') await t.update(service, id, { data: { name: next.name, cluster: next.cluster } })
  else if (next.do === 'status') await t.setStatus(service, id, { phase: next.phase })
  else await t.delete(service, id)
  return undefined
}

function applyToModel(model: Model, ids: string[], next: Operation, created: string | undefined): void {
  if (next.do === 'count') return
  if (next.do === 'create') {
    model.version++
    model.resources.set(created ?? '', { name: next.name, cluster: next.cluster, phase: 'new', generation: 1 })
    return
  }
  const id = ids[next.slot]
  const old = id === undefined ? undefined : model.resources.get(id)
  if (id === undefined || old === undefined) return
  if (next.do === 'delete') model.resources.delete(id)
  else if (next.do === 'status') {
    if (old.phase === next.phase) return
    model.resources.set(id, { ...old, phase: next.phase })
  } else {
    if (old.name === next.name && old.cluster === next.cluster) return
    model.resources.set(id, { ...old, name: next.name, cluster: next.cluster, generation: old.generation + 1 })
  }
  model.version++
}

async function compare(store: Store, model: Model): Promise<void> {
  expect(await store.version()).toBe(model.version)
  const stored = await store.all(service)
  const seen = stored.map(({ id, data, status, generation }) => [id, { ...data, ...status, generation }])
  expect(seen).toEqual([...model.resources].sort(([a], [b]) => (a < b ? -1 : 1)))
  for (const name of ['a', 'b', 'c', 'd']) {
    const holder = [...model.resources].find(([, resource]) => resource.name === name)?.[0]
    expect((await store.find(service, 'name', name))?.id).toBe(holder)
  }
  for (const cluster of ['x', 'y']) {
    const expected = [...model.resources.values()].filter((resource) => resource.cluster === cluster).length
    expect(await store.count(service, { where: { cluster } })).toBe(expected)
  }
}

async function replay(store: Store, model: Model): Promise<void> {
  const ids = new Set<string>()
  for (const change of await store.changes(0)) {
    if (change.after === null) ids.delete(change.id)
    else ids.add(change.id)
  }
  expect([...ids].sort()).toEqual([...model.resources.keys()].sort())
}

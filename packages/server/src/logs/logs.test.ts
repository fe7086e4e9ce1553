import { FreeholdError, type LogLine, type OperationOutput } from '@freehold/contracts'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { addCluster, adminCaller, client, makeService, openWorld, type World } from '../reconcilers/world.testing.ts'
import { createLogHandlers } from './routes.ts'

let world: World
let serviceId: string
beforeEach(async () => {
  world = await openWorld()
  serviceId = (await makeService(world, { clusterId: (await addCluster(world)).cluster.id })).id
})
afterEach(() => world.close())

const line = (text: string): LogLine => ({ at: '', stream: 'stdout', taskId: 't', nodeName: 'one', line: text })
const output = (text: string): OperationOutput => ({ kind: 'service-logs', lines: [line(text)] })

function ask(options: { request: () => AsyncIterable<OperationOutput>; follow?: boolean; id?: string }) {
  const { logs } = createLogHandlers({ store: world.store, hub: { request: options.request } })
  return logs({
    params: { id: options.id ?? serviceId },
    query: { tail: 10, follow: options.follow ?? false },
    body: undefined,
    caller: adminCaller,
    client,
    signal: new AbortController().signal,
    setHeader: () => {},
  }) as Promise<AsyncIterable<LogLine>>
}

it('passes on the lines in order', async () => {
  const lines = await ask({
    request: async function* () {
      yield output('one')
      yield output('two')
    },
  })
  const heard: string[] = []
  for await (const { line: text } of lines) heard.push(text)
  expect(heard).toEqual(['one', 'two'])
})

it('is an error of the request where no agent is there or the first answer is one', async () => {
  await expect(
    ask({
      request: world.hub.request.bind(
        world.hub,
        'none',
        { kind: 'service-logs', serviceId, tail: 1, follow: true },
        { signal: new AbortController().signal },
      ),
      follow: true,
    }),
  ).rejects.toMatchObject({ code: 'agent-offline' })
  const failing = ask({
    // biome-ignore lint/correctness/useYield: an agent that fails before its first line.
    request: async function* () {
      throw new FreeholdError('engine-unavailable')
    },
  })
  await expect(failing).rejects.toMatchObject({ code: 'engine-unavailable' })
  await expect(
    ask({
      request: () => {
        throw new Error('not asked')
      },
      id: '01900000-0000-7000-8000-00000000dead',
    }),
  ).rejects.toMatchObject({ code: 'not-found' })
})

it('ends the asking when the reader goes away', async () => {
  let isEnded = false
  const lines = await ask({
    request: async function* () {
      try {
        while (true) yield output('again')
      } finally {
        isEnded = true
      }
    },
  })
  for await (const _ of lines) break
  expect(isEnded).toBe(true)
})

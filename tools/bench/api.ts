import { Agent, request } from 'node:http'
import { clusterKind, imageKind, kinds, nodeKind, serviceKind } from '@freehold/contracts'
import { type AnyKind, openSqliteStore, type Store } from '@freehold/store'
import { type Freehold, labAdministrator, startFreehold, temporaryFolder } from '../../test/system/lab/index.ts'
import { type Part, percentile, type Row } from './row.ts'

const nodeCount = 1000
const serviceCount = 10_000
const clusterCount = 10
const writers = 64
const gets = 2000
const pages = 500
const warmUp = 100
const actor = { type: 'system', id: 'bench', name: 'bench' } as const

/** get and a page of 100 over HTTP on loopback with keep-alive, one request at a time, in a full store. */
export const apiPart: Part = {
  name: 'api',
  async run(): Promise<Row[]> {
    const folder = await temporaryFolder('bench')
    try {
      const serviceIds = await fillStore(folder.path)
      const freehold = await startFreehold({ env: { FREEHOLD_DATA_DIR: folder.path } })
      try {
        return await measure(freehold, serviceIds)
      } finally {
        await freehold.stop()
      }
    } finally {
      await folder.remove()
    }
  },
}

async function measure(freehold: Freehold, serviceIds: string[]): Promise<Row[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const token = await signIn(freehold.url)
  const time = (path: string) => timeGet(`${freehold.url}${path}`, { agent, token })
  const pick = (index: number) => serviceIds[(index * 7919) % serviceIds.length] ?? ''
  const get = await timeEach(gets, (index) => time(`/api/v1/services/${pick(index)}`))
  const cursors = await listCursors(freehold.url, token)
  const page = await timeEach(pages, (index) => {
    const cursor = cursors[(index * 37) % cursors.length] ?? ''
    return time(`/api/v1/services?limit=100${cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`}`)
  })
  agent.destroy()
  const note = `${nodeCount} nodes and ${serviceCount} services in the store; one client, keep-alive, whole body read`
  const target = { of: 'ours', atMost: 50 } as const
  return [
    { measure: 'API get, p50', unit: 'ms', ours: percentile(get, 0.5), note },
    { measure: 'API get, p99', unit: 'ms', ours: percentile(get, 0.99), target },
    { measure: 'API page of 100, p50', unit: 'ms', ours: percentile(page, 0.5) },
    { measure: 'API page of 100, p99', unit: 'ms', ours: percentile(page, 0.99), target },
  ]
}

/** Writes clusters, nodes and services straight into the store, before a server opens it. */
async function fillStore(directory: string): Promise<string[]> {
  const list: AnyKind[] = Object.values(kinds)
  const store = await openSqliteStore({ directory, kinds: list })
  try {
    const clusterIds = await fill(clusterCount, (index) =>
      store.transaction(actor, (t) => t.create(clusterKind, { data: { name: `cluster-${index}`, description: '' } })),
    )
    const clusterId = (index: number) => clusterIds[index % clusterIds.length] ?? ''
    await fill(nodeCount, (index) => createNode(store, index, clusterId(index)))
    return await fill(serviceCount, (index) => createService(store, index, clusterId(index)))
  } finally {
    await store.close()
  }
}

function createNode(store: Store, index: number, clusterId: string): Promise<{ id: string }> {
  const data = { clusterId, name: `node-${index}`, publicKey: `key-of-node-${index}`, revoked: false }
  return store.transaction(actor, (t) => t.create(nodeKind, { data }))
}

async function createService(store: Store, index: number, clusterId: string): Promise<{ id: string }> {
  return store.transaction(actor, async (t) => {
    const image = await t.create(imageKind, {
      data: { name: `workloads/service-${index}`, description: '', location: { internal: true } },
    })
    const data = serviceKind.data.parse({
      name: `service-${index}`,
      clusterId,
      imageId: image.id,
      deployOnPush: false,
      environment: { LOG_LEVEL: 'info', NUMBER: String(index) },
      ports: { web: 8080, published: [] },
      healthCheck: { type: 'http', path: '/health' },
    })
    return t.create(serviceKind, { data })
  })
}

async function fill(count: number, create: (index: number) => Promise<{ id: string }>): Promise<string[]> {
  const ids: string[] = []
  let next = 0
  const work = async () => {
    for (let index = next++; index < count; index = next++) ids[index] = (await create(index)).id
  }
  await Promise.all(Array.from({ length: writers }, work))
  return ids
}

async function signIn(url: string): Promise<string> {
  const response = await fetch(`${url}/api/v1/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(labAdministrator()),
  })
  const answer = (await response.json()) as { token?: string }
  if (answer.token === undefined) throw new Error(`The bench could not sign in: status ${response.status}.`)
  return answer.token
}

/** Cursors of all pages, so that pages from everywhere in the list are asked for, not the first alone. */
async function listCursors(url: string, token: string): Promise<string[]> {
  const cursors = ['']
  for (;;) {
    const cursor = cursors.at(-1) ?? ''
    const address = `${url}/api/v1/services?limit=100${cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`}`
    const response = await fetch(address, { headers: { authorization: `Bearer ${token}` } })
    const { nextCursor } = (await response.json()) as { nextCursor: string | null }
    if (nextCursor === null || nextCursor === undefined) return cursors
    cursors.push(nextCursor)
  }
}

async function timeEach(count: number, work: (index: number) => Promise<number>): Promise<number[]> {
  const timesMs: number[] = []
  for (let index = 0; index < count + warmUp; index += 1) {
    const timeMs = await work(index)
    if (index >= warmUp) timesMs.push(timeMs)
  }
  return timesMs
}

function timeGet(url: string, options: { agent: Agent; token: string }): Promise<number> {
  return new Promise((resolve, reject) => {
    const startedAt = performance.now()
    const headers = { authorization: `Bearer ${options.token}` }
    const sent = request(url, { agent: options.agent, headers }, (response) => {
      response.on('data', () => undefined)
      response.on('end', () => {
        if (response.statusCode === 200) resolve(performance.now() - startedAt)
        else reject(new Error(`${url} answered ${response.statusCode}.`))
      })
      response.on('error', reject)
    })
    sent.on('error', reject)
    sent.end()
  })
}

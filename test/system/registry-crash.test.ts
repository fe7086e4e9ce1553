import { createHash, randomBytes } from 'node:crypto'
import { blobLinkKind, kinds, manifestKind, tagKind } from '@freehold/contracts'
import { openSqliteStore } from '@freehold/store'
import { expect, it, onTestFinished } from 'vitest'
import { type Cloud, type Freehold, signIn, startFreehold, until } from './lab/index.ts'

/**
 * KILL at random moments of two hundred pushes at once. Afterwards nothing that was acknowledged is missing or other
 * than it was, and no tag leads to anything that is. FREEHOLD_CRASH_SEED repeats the moments of a run.
 */
const pushers = 200
const rounds = 4
const ociManifest = 'application/vnd.oci.image.manifest.v1+json'

interface Pushed {
  repository: string
  tag: string
  manifest: string
}

it('loses no acknowledged push and tags nothing missing or wrong, killed at random in the midst of 200 pushes', async () => {
  const seed = Number(process.env.FREEHOLD_CRASH_SEED ?? randomBytes(4).readUInt32LE())
  console.log(`FREEHOLD_CRASH_SEED=${seed}`)
  const random = randomFrom(seed)
  const freehold = await startFreehold()
  onTestFinished(() => freehold.stop())
  const { client, token } = await signIn(freehold)
  const authorization = `Bearer ${token}`
  const acknowledged: Pushed[] = []
  const layers = Array.from({ length: 20 }, (_, index) => contentOf(`shared ${index}`, 20_000 + index * 3000))

  for (let round = 0; round < rounds; round += 1) {
    const before = acknowledged.length
    const killAfter = 20 + Math.floor(random() * 150)
    const dying = Promise.withResolvers<void>()
    const pushing = Array.from({ length: pushers }, (_, index) =>
      pushUntilDead({
        freehold,
        authorization,
        name: `r${round}-${index}`,
        pick: () => layers[Math.floor(random() * layers.length)] ?? Buffer.alloc(0),
        onPushed: (pushed) => {
          acknowledged.push(pushed)
          if (acknowledged.length - before >= killAfter) dying.resolve()
        },
      }),
    )
    await dying.promise
    await freehold.kill9()
    await Promise.all(pushing)
    await freehold.restart()
    await expectPulledBack(freehold, authorization, acknowledged.slice(before))
  }

  await expectPulledBack(freehold, authorization, acknowledged)
  await expectWhole(freehold, client)
  expect(acknowledged.length).toBeGreaterThan(rounds * 20)
})

/** Pushes image after image, each with a layer of its own and one that others push too, until nobody answers. */
async function pushUntilDead(options: {
  freehold: Freehold
  authorization: string
  name: string
  pick: () => Buffer
  onPushed: (pushed: Pushed) => void
}): Promise<void> {
  const { freehold, name, pick, onPushed } = options
  const headers = { authorization: options.authorization }
  const repository = `crash/${name}`
  const base = `${freehold.url}/v2/${repository}`
  const send = async (method: string, url: string, body?: Uint8Array | string, type?: string) => {
    const response = await fetch(new URL(url, base), {
      method,
      headers: { ...headers, ...(type === undefined ? {} : { 'content-type': type }) },
      ...(body === undefined ? {} : { body }),
    })
    await response.arrayBuffer()
    if (response.status >= 400 && response.status !== 404) throw new Error(`${method} ${url}: ${response.status}`)
    return response
  }
  const blob = async (content: Buffer, how: 'whole' | 'chunks' | 'asked') => {
    const digest = digestOf(content)
    const descriptor = { mediaType: 'application/octet-stream', digest, size: content.length }
    if (how === 'asked' && (await send('HEAD', `${base}/blobs/${digest}`)).status === 200) return descriptor
    if (how !== 'whole') {
      const started = await send('POST', `${base}/blobs/uploads/?mount=${digest}`)
      if (started.status === 201) return descriptor
      const location = started.headers.get('location') ?? ''
      const half = content.length >> 1
      await send('PATCH', location, content.subarray(0, half))
      await send('PUT', `${location}?digest=${digest}`, content.subarray(half))
    } else await send('POST', `${base}/blobs/uploads/?digest=${digest}`, content)
    return descriptor
  }
  try {
    for (let count = 0; ; count += 1) {
      const config = await blob(Buffer.from(JSON.stringify({ name, count })), 'whole')
      const layers = [await blob(randomBytes(5000 + count), 'chunks'), await blob(pick(), 'asked')]
      const manifest = JSON.stringify({ schemaVersion: 2, mediaType: ociManifest, config, layers })
      const tag = `v${count}`
      const { status } = await send('PUT', `${base}/manifests/${tag}`, manifest, ociManifest)
      if (status === 201) onPushed({ repository, tag, manifest })
    }
  } catch (error) {
    // What fetch throws when nobody is there is a TypeError; anything else is a refusal.
    if (!(error instanceof TypeError)) throw error
  }
}

async function expectPulledBack(freehold: Freehold, authorization: string, pushed: readonly Pushed[]): Promise<void> {
  const get = (path: string) => fetch(`${freehold.url}/v2/${path}`, { headers: { authorization } })
  for (const { repository, tag, manifest } of pushed) {
    const response = await get(`${repository}/manifests/${tag}`)
    expect([response.status, await response.text()], `${repository}:${tag}`).toEqual([200, manifest])
    const { config, layers } = JSON.parse(manifest) as { config: { digest: string }; layers: { digest: string }[] }
    for (const { digest } of [config, ...layers]) {
      const blob = await get(`${repository}/blobs/${digest}`)
      expect([blob.status, digestOf(Buffer.from(await blob.arrayBuffer()))], `${repository} ${digest}`).toEqual([
        200,
        digest,
      ])
    }
  }
}

/** Every tag, acknowledged or not, leads to a manifest whose every part is there, and a scrub finds no damage. */
async function expectWhole(freehold: Freehold, client: Cloud['client']): Promise<void> {
  await freehold.kill9()
  const store = await openSqliteStore({ kinds: Object.values(kinds), directory: freehold.dataDirectory })
  const tags = await store.all(tagKind)
  const rows = await store.all(manifestKind)
  const links = new Set((await store.all(blobLinkKind)).map(({ data }) => `${data.repository}@${data.digest}`))
  await store.close()
  const manifests = new Map(rows.map(({ data }) => [`${data.repository}@${data.digest}`, data]))
  for (const { data } of tags) {
    const manifest = manifests.get(`${data.repository}@${data.digest}`)
    const unlinked = manifest?.blobs.filter(({ digest }) => !links.has(`${data.repository}@${digest}`))
    expect(unlinked, `${data.repository}:${data.name}`).toEqual([])
  }
  await freehold.restart()
  await client.scrub.run()
  await until(() => client.scrub.get(), {
    holds: ({ lastPass }) => (lastPass?.checkedBlobs ?? 0) >= rows.length,
    what: 'the scrub to have read everything',
  })
  expect((await client.scrub.get()).damagedBlobs).toBe(0)
}

const digestOf = (content: Buffer) => `sha256:${createHash('sha256').update(content).digest('hex')}`

/** The same bytes for the same text. */
function contentOf(text: string, sizeBytes: number): Buffer {
  return Buffer.alloc(sizeBytes, createHash('sha512').update(text).digest())
}

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

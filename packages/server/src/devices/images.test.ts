import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type DeviceStatus, deviceData, deviceKind, deviceStatusSchema, kinds, type Release } from '@freehold/contracts'
import { openSqliteStore, type Store } from '@freehold/store'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { makeRelease, withdraw } from '../images/releases.testing.ts'
import { createImagesOf, createReleasesOf, type ResolvedReleases } from './images.ts'

let directory: string
let store: Store
let deviceId: string
let shall: ResolvedReleases
let report: DeviceStatus | null
let imagesOf: ReturnType<typeof createImagesOf>

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'freehold-device-images-'))
  store = await openSqliteStore({ directory, kinds: Object.values(kinds) })
  const data = deviceData.parse({ name: 'one', description: '', nodeId: 'one', access: 'allowed', readoptUntil: null })
  const actor = { type: 'user', id: 'ada', name: 'ada' } as const
  deviceId = (await store.transaction(actor, (transaction) => transaction.create(deviceKind, { data }))).id
  shall = { app: null, host: null }
  report = null
  imagesOf = makeImagesOf()
})
afterEach(async () => {
  await store.close()
  await rm(directory, { recursive: true, force: true })
})

const makeImagesOf = () => {
  const releasesOf = createReleasesOf({ store, resolve: async () => shall, reportOf: async () => report })
  return createImagesOf({ store, releasesOf })
}
const image = (repository: string, digit: string) => ({ repository, digest: `sha256:${digit.repeat(64)}` })
const shop = (version: string, digit: string) => makeRelease(store, { version, images: [image('shop/web', digit)] })
const digits = async () => (await imagesOf(deviceId)).map(({ digest }) => digest.slice(-1)).toSorted()
const runs = (type: 'app' | 'host', progress: object) => {
  report = deviceStatusSchema.parse({ releases: { [type]: progress } })
}
const give = (type: 'app' | 'host', release: Release | null) => {
  shall = { ...shall, [type]: release === null ? null : { releaseId: release.id } }
}

describe('the images of a device', () => {
  it('are none where nothing was said, none of a device that is gone, and none of a report alone', async () => {
    const one = await shop('1.0.0', '1')
    expect(await digits()).toEqual([])
    runs('app', { releaseId: one.id, running: one.id, state: 'succeeded' })
    expect(await digits()).toEqual([])
    expect(await imagesOf('01900000-0000-7000-8000-000000000000')).toEqual([])
  })

  it('are those of what it shall run: every image of the application, and host and agent of the host', async () => {
    const app = await makeRelease(store, { version: '1.0.0', images: [image('shop/web', '1'), image('shop/db', '2')] })
    const images = [image('baseos/host', '3'), image('baseos/agent', '4')]
    const host = await makeRelease(store, { version: '3.0.0', deviceType: 'generic-amd64', images })
    await shop('2.0.0', '9')
    give('app', app)
    give('host', host)
    expect(await imagesOf(deviceId)).toEqual([image('shop/web', '1'), image('shop/db', '2'), ...images])
  })

  it('are those of the release before too, until the new one runs with success', async () => {
    const [one, two, three] = [await shop('1.0.0', '1'), await shop('2.0.0', '2'), await shop('3.0.0', '3')]
    give('app', one)
    expect(await digits()).toEqual(['1'])
    give('app', two)
    expect(await digits()).toEqual(['1', '2'])
    for (const state of ['downloading', 'applying', 'soaking', 'rolled-back', 'failed']) {
      runs('app', { releaseId: two.id, running: two.id, state })
      expect(await digits()).toEqual(['1', '2'])
    }
    runs('app', { releaseId: two.id, running: two.id, state: 'succeeded' })
    expect(await digits()).toEqual(['2'])
    give('app', three)
    expect(await digits()).toEqual(['2', '3'])
  })

  it('are remembered by the store, not by the process', async () => {
    const [one, two] = [await shop('1.0.0', '1'), await shop('2.0.0', '2')]
    give('app', one)
    await digits()
    await store.facts.flush()
    imagesOf = makeImagesOf()
    give('app', two)
    expect(await digits()).toEqual(['1', '2'])
  })

  it('are those of what it reports to run, where that is of the line it was given', async () => {
    const [old, given] = [await shop('0.9.0', '1'), await shop('1.0.0', '2')]
    give('app', given)
    runs('app', { running: old.id })
    expect(await digits()).toEqual(['1', '2'])
  })

  it('are never those of another product, type or sort of device, whatever it reports', async () => {
    const given = await shop('1.0.0', '1')
    give('app', given)
    const other = await makeRelease(store, { product: 'vault', version: '1.0.0', images: [image('vault/web', '2')] })
    const images = [image('baseos/host', '3')]
    const host = await makeRelease(store, { product: 'shop', version: '3.0.0', deviceType: 'generic-amd64', images })
    const pi = await makeRelease(store, {
      version: '3.0.0',
      deviceType: 'raspberrypi4-64',
      images: [image('baseos/pi', '4')],
    })
    for (const running of [other.id, host.id, pi.id, 'nonsense', '']) {
      runs('app', { releaseId: running, running, state: 'succeeded' })
      expect(await digits()).toEqual(['1'])
    }
    give(
      'host',
      await makeRelease(store, { version: '2.0.0', deviceType: 'generic-amd64', images: [image('baseos/host', '5')] }),
    )
    runs('host', { running: pi.id })
    expect(await digits()).toEqual(['1', '5'])
  })

  it('stay those of what it runs where nothing is said any more: it keeps what it has', async () => {
    const one = await shop('1.0.0', '1')
    give('app', one)
    await digits()
    give('app', null)
    expect(await digits()).toEqual([])
    runs('app', { running: one.id })
    expect(await digits()).toEqual(['1'])
  })

  it('are none of a release that was withdrawn', async () => {
    const one = await shop('1.0.0', '1')
    give('app', one)
    runs('app', { running: one.id })
    await withdraw(store, one)
    expect(await digits()).toEqual([])
  })
})

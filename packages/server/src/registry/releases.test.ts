import { FreeholdError, imageKind, manifestKind, releaseKind } from '@freehold/contracts'
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { deleteImage } from '../images/index.ts'
import { makeRelease, withdraw } from '../images/releases.testing.ts'
import { collectAll, losses } from './garbage.testing.ts'
import { contentsOf, pushIndex, serve } from './inspect.testing.ts'
import { createRetainer } from './retention.ts'
import { dayMs } from './retention-rules.ts'
import { pushImage, startTestRegistry, type TestRegistry } from './testing.ts'
import { changeImage } from './usage.testing.ts'

/** What a release has is in use, as what a service runs is. */
const name = 'fleet/app'
const never = new AbortController().signal
let registry: TestRegistry
let call: ReturnType<typeof contentsOf>
beforeEach(async () => {
  registry = await startTestRegistry()
  onTestFinished(() => registry.remove())
  call = contentsOf(registry)
})

async function digests(): Promise<string[]> {
  const rows = await registry.store.all(manifestKind, { where: { repository: name } })
  return rows.map(({ data }) => data.digest).toSorted()
}

describe('an image that a release has', () => {
  it('is deleted neither by tag nor by digest, and the refusal names the release', async () => {
    const { digest } = await pushImage(registry, name, 'v1', 'layer one')
    const release = await makeRelease(registry.store, { version: '1.2.0', images: [{ repository: name, digest }] })
    for (const reference of ['v1', digest]) {
      const response = await registry.send('DELETE', `/v2/${name}/manifests/${reference}`)
      expect([response.status, await response.json()]).toMatchObject([
        405,
        {
          errors: [
            { code: 'DENIED', message: expect.stringContaining('shop 1.2.0'), detail: { releases: ['shop 1.2.0'] } },
          ],
        },
      ])
    }
    await withdraw(registry.store, release)
    expect((await registry.send('DELETE', `/v2/${name}/manifests/${digest}`)).status).toBe(202)
  })

  it('stands in the way of a delete by people, in its preview too, beside the service that runs it', async () => {
    const { digest } = await pushImage(registry, name, 'v1', 'layer one')
    const images = [{ repository: name, digest }]
    await makeRelease(registry.store, { version: '3.0.0', deviceType: 'generic-amd64', images })
    const preview = await call('deletions', name, { body: { tags: ['v1'], preview: true } })
    expect(preview).toMatchObject({
      tags: [],
      refusals: [{ tag: 'v1', reason: 'in-use', message: expect.stringContaining('baseos 3.0.0 for generic-amd64') }],
    })
    await expect(call('deletions', name, { body: { manifests: [digest] } })).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('Withdraw the release first. Nothing was deleted.'),
    })
    await serve(registry, name, 'v1')
    const both = await registry.send('DELETE', `/v2/${name}/manifests/v1`)
    expect(await both.json()).toMatchObject({
      errors: [{ detail: { services: [{ revision: 1 }], releases: ['baseos 3.0.0 for generic-amd64'] } }],
    })
  })

  it('is left behind where it would only have followed, and the index of a release keeps its children', async () => {
    const child = await pushImage(registry, name, 'child', 'child layer')
    const index = await pushIndex(registry, name, 'v1', [child])
    await registry.send('DELETE', `/v2/${name}/manifests/child`)
    const held = { version: '1.0.0', images: [{ repository: name, digest: child.digest }] }
    const ofChild = await makeRelease(registry.store, held)
    const plan = await call('deletions', name, { body: { manifests: [index], preview: true } })
    expect(plan.manifests.map(({ digest }) => digest)).toEqual([index])
    expect(plan.leftBehind).toMatchObject([{ digest: child.digest, message: 'The release shop 1.0.0 has it.' }])
    await withdraw(registry.store, ofChild)
    await makeRelease(registry.store, { version: '1.1.0', images: [{ repository: name, digest: index }] })
    expect((await registry.send('DELETE', `/v2/${name}/manifests/${child.digest}`)).status).toBe(405)
  })

  it('keeps its repository from being deleted', async () => {
    const { digest } = await pushImage(registry, name, 'v1', 'layer one')
    const release = await makeRelease(registry.store, { version: '1.2.0', images: [{ repository: name, digest }] })
    const image = await registry.store.find(imageKind, 'name', name)
    const remove = () =>
      registry.store.transaction({ type: 'user', id: 'ada', name: 'ada' }, (transaction) =>
        deleteImage(transaction, { id: image?.id ?? '' }),
      )
    await expect(remove()).rejects.toThrow(FreeholdError)
    await expect(remove()).rejects.toThrow(`The release shop 1.2.0 has images of ${name}`)
    await withdraw(registry.store, release)
    await remove()
    expect(await digests()).toEqual([])
  })

  it('outlives retention and garbage collection, untagged and years old, until the release is withdrawn', async () => {
    const child = await pushImage(registry, name, 'child', 'child layer')
    const index = await pushIndex(registry, name, 'release', [child])
    const stale = await pushImage(registry, name, 'stale', 'stale layer')
    const newest = await pushImage(registry, name, 'newest', 'newest layer')
    await changeImage(registry.store, name, { retention: { keepLastTags: 1, deleteUntaggedAfterDays: 1 } })
    for (const tag of ['child', 'release']) await registry.send('DELETE', `/v2/${name}/manifests/${tag}`)
    const release = await makeRelease(registry.store, {
      version: '1.2.0',
      images: [{ repository: name, digest: index }],
    })
    const retainer = createRetainer({
      store: registry.store,
      host: () => registry.host,
      defaultRetention: null,
      now: () => registry.clock.ms,
      log: { info: () => {}, warn: () => {} },
    })
    const settle = async () => {
      for (let pass = 0; pass < 3; pass += 1) {
        registry.clock.ms += 400 * dayMs
        await retainer.run(never)
      }
      await collectAll(registry, 1000)
    }
    await settle()
    expect(await digests()).toEqual([child.digest, index, newest.digest].toSorted())
    expect(await losses(registry)).toEqual([])
    expect((await registry.send('GET', `/v2/${name}/manifests/${stale.digest}`)).status).toBe(404)
    const image = await registry.store.find(imageKind, 'name', name)
    if (image === undefined) throw new Error('The image is gone.')
    const { steps } = await retainer.preview(image)
    expect(steps.find(({ digest }) => digest === index)?.reason).toContain('the release shop 1.2.0 has it')
    await withdraw(registry.store, release)
    await settle()
    expect(await digests()).toEqual([newest.digest])
  })

  it('is shown with its releases, the newest first, once for each', async () => {
    const { digest } = await pushImage(registry, name, 'v1', 'layer one')
    const images = [{ repository: name, digest }]
    await makeRelease(registry.store, { version: '1.2.0', images })
    const host = await makeRelease(registry.store, { version: '3.0.0', deviceType: 'generic-amd64', images })
    await makeRelease(registry.store, { version: '9.0.0', images: [{ repository: 'fleet/other', digest }] })
    const expected = [
      { releaseId: host.id, product: 'baseos', version: '3.0.0', deviceType: 'generic-amd64' },
      { product: 'shop', version: '1.2.0', deviceType: null },
    ]
    const tag = await call('tag', name, { params: { tag: 'v1' } })
    expect(tag.releases).toMatchObject(expected)
    expect(tag.releases).toHaveLength(2)
    expect((await call('manifest', name, { params: { digest } })).releases).toEqual(tag.releases)
  })

  it('is held by its row alone, should the release be missing', async () => {
    const { digest } = await pushImage(registry, name, 'v1', 'layer one')
    const release = await makeRelease(registry.store, { version: '1.2.0', images: [{ repository: name, digest }] })
    await registry.store.transaction({ type: 'user', id: 'ada', name: 'ada' }, (transaction) =>
      transaction.delete(releaseKind, release.id),
    )
    expect((await registry.send('DELETE', `/v2/${name}/manifests/v1`)).status).toBe(405)
    expect((await call('tag', name, { params: { tag: 'v1' } })).releases).toEqual([])
  })
})

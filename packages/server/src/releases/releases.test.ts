import { createHash } from 'node:crypto'
import {
  type Channel,
  type DeviceGroup,
  deviceGroupInput,
  deviceGroupKind,
  kinds,
  manifestKind,
  type Release,
  releaseImageKind,
  releaseKind,
  releaseManifestSchema,
  releaseRolloutInput,
  releaseRolloutKind,
} from '@freehold/contracts'
import type { Store } from '@freehold/store'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openEngines } from './engines.testing.ts'
import { deleteRelease } from './service.ts'
import { actor, createWorld, digestOf, registryHost, type World } from './world.testing.ts'

const { engines, close } = await openEngines('Releases')
afterAll(close)

describe.each(engines)('on %s', (_, open) => {
  let store: Store
  let world: World
  let web: string
  beforeAll(async () => {
    store = await open()
    world = await createWorld(store)
    web = await world.pushed('shop/web', '1')
    await world.pushed('baseos/hostapp', '2', { digit: '2' })
    await world.pushed('shop/signature', '1', {
      digit: '3',
      artifactType: 'application/vnd.dev.cosign.artifact.sig.v1+json',
    })
  })
  afterAll(async () => {
    await world.close()
    await store.close()
  })

  const hostRelease = (version: string, host: object = {}) =>
    world.makeRelease(version, {
      product: 'baseos',
      type: 'host',
      services: [],
      host: { deviceType: 'rpi', hostapp: 'baseos/hostapp:2', ...host },
    })
  const withdraw = (id: string) => world.call<Release>(world.releases.handlers.releases.withdraw, { params: { id } })
  const remove = (id: string) => world.call(world.releases.handlers.releases.delete, { params: { id } })
  const makeGroup = (name: string, data: object = {}) =>
    world.call<DeviceGroup>(world.releases.handlers.deviceGroups.create, {
      body: { data: deviceGroupInput.parse({ name, ...data }) },
    })
  const makeRollout = (channelId: string, releaseId: string) =>
    store.transaction(actor, (transaction) =>
      transaction.create(releaseRolloutKind, {
        data: {
          ...releaseRolloutInput.parse({ channelId, releaseId }),
          memberCount: 0,
          membersHash: '',
          previousReleaseId: null,
          paused: false,
          aborted: null,
          approvedPhases: 0,
          attempt: 1,
        },
      }),
    )
  const endRollout = (id: string) =>
    store.transaction(actor, (transaction) =>
      transaction.setStatus(releaseRolloutKind, id, { ...releaseRolloutKind.initialStatus, state: 'aborted' }),
    )

  describe('a release', () => {
    it('names its images by digest, is signed at once where the key is here, and its manifest says what it is', async () => {
      const release = await world.makeRelease('1.0.0', { deviceTypes: ['rpi'] })
      expect(release.data.services[0]?.image).toEqual({ repository: 'shop/web', digest: web })
      expect(release.status.state).toBe('signed')
      const [file] = world.signed.published.get(release.id) ?? []
      expect(file?.path).toBe('releases/shop/1.0.0/manifest.json')
      const text = file?.text ?? ''
      const sha256 = createHash('sha256').update(text).digest('hex')
      expect(release.status.target).toEqual({ path: file?.path, sha256, sizeBytes: Buffer.byteLength(text) })
      expect(releaseManifestSchema.parse(JSON.parse(text))).toMatchObject({
        releaseId: release.id,
        deviceTypes: ['rpi'],
      })
      expect(Object.keys(JSON.parse(text))).toEqual(Object.keys(JSON.parse(text)).toSorted())
      const rows = await store.all(releaseImageKind, { where: { releaseId: release.id } })
      expect(rows.map(({ data }) => data)).toEqual([{ releaseId: release.id, repository: 'shop/web', digest: web }])
    })

    it('stays unsigned where the key is elsewhere, until signed metadata are published', async () => {
      const away = await createWorld(store, { keyIsHere: false })
      try {
        const release = await away.makeRelease('1.0.1')
        expect(release.status.state).toBe('unsigned')
        await store.transaction(actor, (transaction) => away.releases.onPublished(transaction, [release.id]))
        expect((await store.get(releaseKind, release.id))?.status.state).toBe('signed')
      } finally {
        await away.close()
      }
    })

    it('of a host has checksums and its licence bundle beside the manifest', async () => {
      const bundle = Buffer.from([0x1f, 0x8b, 8, 0])
      const release = await hostRelease('2.0.0', { licenseBundle: bundle.toString('base64') })
      const files = world.signed.published.get(release.id) ?? []
      expect(files.map(({ path }) => path)).toEqual([
        'baseos/rpi/2.0.0/manifest.json',
        'baseos/rpi/2.0.0/license-bundle.tar.gz',
        'baseos/rpi/2.0.0/checksums.txt',
      ])
      expect(files[2]?.text).toBe(
        `${files[0]?.sha256}  manifest.json\n${digestOf('9').slice(7)}  license-bundle.tar.gz\n`,
      )
      expect(world.licenses).toEqual([bundle])
      expect(release.data.host?.licenseBundle).toBe(digestOf('9'))
      const rows = await store.all(releaseImageKind, { where: { releaseId: release.id } })
      expect(rows.map(({ data }) => data.repository).toSorted()).toEqual(['baseos/hostapp', 'baseos/licenses'])
    })

    it('of a host is refused where its licence bundle is deleted before the release is there to hold it', async () => {
      world.fate.licensesAreLost = true
      const rows = await store.all(manifestKind, { where: { repository: 'baseos/licenses' } })
      await store.transaction(actor, async (transaction) => {
        for (const { id } of rows) await transaction.delete(manifestKind, id)
      })
      const licenseBundle = Buffer.from([0x1f, 0x8b, 8, 1]).toString('base64')
      await expect(hostRelease('9.0.0', { licenseBundle })).rejects.toMatchObject({ code: 'conflict' })
      world.fate.licensesAreLost = false
    })

    it('is made with the registry’s own host in front of an image, and by digest', async () => {
      const services = [
        { name: 'a', image: `${registryHost}/shop/web:1` },
        { name: 'b', image: `shop/web@${web}` },
      ]
      const release = await world.makeRelease('1.0.2', { services })
      expect(new Set(release.data.services.map(({ image }) => image.digest))).toEqual(new Set([web]))
      expect(await store.all(releaseImageKind, { where: { releaseId: release.id } })).toHaveLength(1)
    })

    it.each([
      ['docker.io/library/nginx:1.27', 'invalid-input', /another registry.*freehold images import/],
      ['localhost:5000/web:1', 'invalid-input', /another registry/],
      ['shop/web', 'invalid-input', /repository:tag/],
      ['Shop/Web:1', 'invalid-input', /repository:tag/],
      ['shop/web:none', 'not-found', /has no shop\/web:none.*Push cloud\.example:8080\/shop\/web:none/],
      [`shop/web@${digestOf('7')}`, 'not-found', /has no/],
      ['shop/signature:1', 'invalid-input', /no container image/],
    ])('is refused with the image %s, in a sentence', async (image, code, message) => {
      const before = await store.version()
      const services = [{ name: 'web', image }]
      const making = world.makeRelease('9.0.0', { services })
      await expect(making).rejects.toMatchObject({ code, message: expect.stringMatching(message) })
      await expect(making).rejects.toMatchObject({ details: [{ path: 'data.services.0.image' }] })
      expect(await store.version()).toBe(before)
    })

    it('is refused twice under one version, and never changes but for its notes', async () => {
      const release = await world.makeRelease('1.1.0')
      await expect(world.makeRelease('1.1.0')).rejects.toMatchObject({ code: 'already-exists' })
      const update = (data: object) =>
        world.call<Release>(world.releases.handlers.releases.update, { params: { id: release.id }, body: { data } })
      expect((await update({ notes: 'good' })).data.notes).toBe('good')
      await expect(update({ version: '1.2.0' })).rejects.toMatchObject({ code: 'invalid-input' })
    })

    it('is withdrawn unless a channel carries it or a rollout brings it, and lets go of its images', async () => {
      const release = await world.makeRelease('1.2.0')
      const channel = await world.makeChannel('withdrawing')
      await world.carry(channel.id, release.id)
      await expect(withdraw(release.id)).rejects.toThrow(
        'shop 1.2.0 cannot be withdrawn. The channel withdrawing carries it',
      )
      await world.carry(channel.id, null)
      const rollout = await makeRollout(channel.id, release.id)
      await expect(withdraw(release.id)).rejects.toThrow(/rollout under way brings it to the channel withdrawing/)
      await endRollout(rollout.id)
      expect((await withdraw(release.id)).status.state).toBe('withdrawn')
      expect((await withdraw(release.id)).status.state).toBe('withdrawn')
      expect(world.signed.published.has(release.id)).toBe(false)
      expect(await store.all(releaseImageKind, { where: { releaseId: release.id } })).toEqual([])
    })

    it('is not deleted where a device is pinned to it while its users are looked for', async () => {
      const { id } = await world.makeRelease('1.3.1')
      const device = await world.enrol('pinned-meanwhile')
      const pin = (releaseId: string | null) =>
        world.call(world.devices.handlers.devices.update, {
          params: { id: device.id },
          body: { data: { pinnedAppReleaseId: releaseId } },
        })
      const getMany: Store['facts']['getMany'] = async (kind, ids) => {
        const facts = await store.facts.getMany(kind, ids)
        await pin(id)
        return facts
      }
      const slow: Store = { ...store, facts: { ...store.facts, getMany } }
      const rules = { store: slow, updates: world.signed.updates, rollouts: { revertingTo: () => undefined } }
      await expect(deleteRelease(rules, { id, actor })).rejects.toThrow(/The device pinned-meanwhile is pinned to it/)
      await pin(null)
      await remove(id)
    })

    it('is not deleted while a rollout may send devices back to it, but withdrawn all the same', async () => {
      const { id } = await world.makeRelease('1.3.2')
      const channel = await world.makeChannel('reverting')
      const rollout = await makeRollout(channel.id, (await world.makeRelease('1.3.3')).id)
      world.reverting.set(id, rollout.id)
      await expect(remove(id)).rejects.toMatchObject({
        code: 'conflict',
        message: `shop 1.3.2 cannot be deleted. The rollout ${rollout.id} of the channel reverting would send devices back to it where it is aborted; end that first.`,
      })
      expect((await withdraw(id)).status.state).toBe('withdrawn')
      await expect(remove(id)).rejects.toThrow(/would send devices back to it/)
      world.reverting.clear()
      await remove(id)
    })

    it('is deleted unless a channel, a pin, an open rollout, an assignment or a report names it', async () => {
      const release = await world.makeRelease('1.3.0')
      const { id } = release
      const refused = (sentence: RegExp) =>
        expect(remove(id)).rejects.toMatchObject({ code: 'conflict', message: expect.stringMatching(sentence) })
      const channel = await world.makeChannel('deleting')
      await world.carry(channel.id, id)
      await refused(/The channel deleting carries it/)
      await world.carry(channel.id, null)
      const rollout = await makeRollout(channel.id, id)
      await refused(/rollout under way/)
      await endRollout(rollout.id)
      const group = await makeGroup('deleting', { selector: { none: 'x' }, pinnedAppReleaseId: id })
      await refused(/The group deleting is pinned to it/)
      await world.call(world.releases.handlers.deviceGroups.delete, { params: { id: group.id } })
      const device = await world.enrol('deleting-device')
      const pin = (releaseId: string | null) =>
        world.call(world.devices.handlers.devices.update, {
          params: { id: device.id },
          body: { data: { pinnedAppReleaseId: releaseId } },
        })
      await pin(id)
      await refused(/The device deleting-device is pinned to it/)
      await pin(null)
      const assign = (releaseId: string | null) =>
        world.releases.assignments.assign([
          { deviceId: device.id, type: 'app', releaseId, rolloutId: null, attempt: 1 },
        ])
      await assign(id)
      await refused(/The device deleting-device was assigned it/)
      await assign(null)
      await world.hear(device, { releases: { app: { releaseId: id, attempt: 1, state: 'succeeded', running: id } } })
      store.facts.set(kinds.device, device.id, 'report', { at: '', intervalMs: 1, body: `{"running":"${id}"}` })
      await refused(/says that it has it/)
      store.facts.set(kinds.device, device.id, 'report', { at: '', intervalMs: 1, body: '{}' })
      await remove(id)
      expect(await store.get(releaseKind, id)).toBeUndefined()
      expect(await store.all(releaseImageKind, { where: { releaseId: id } })).toEqual([])
      expect(world.signed.published.has(id)).toBe(false)
    })
  })

  describe('a channel', () => {
    it('keeps its type, and is deleted unless a group follows it or a rollout is open', async () => {
      const channel = await world.makeChannel('edge')
      const { channels, deviceGroups } = world.releases.handlers
      const params = { id: channel.id }
      await expect(world.call(channels.update, { params, body: { data: { type: 'host' } } })).rejects.toThrow(
        /never changes/,
      )
      const renamed = await world.call<Channel>(channels.update, { params, body: { data: { name: 'edgy' } } })
      expect(renamed.data.name).toBe('edgy')
      const group = await makeGroup('edge', { selector: { ring: 'edge' }, appChannelId: channel.id })
      await expect(world.call(channels.delete, { params })).rejects.toThrow(/The group edge follows the channel edgy/)
      await world.call(deviceGroups.delete, { params: { id: group.id } })
      const rollout = await makeRollout(channel.id, (await world.makeRelease('3.0.0')).id)
      await expect(world.call(channels.delete, { params })).rejects.toThrow(/under way/)
      await endRollout(rollout.id)
      await world.call(channels.delete, { params })
      await expect(world.call(channels.get, { params })).rejects.toMatchObject({ code: 'not-found' })
    })
  })

  describe('a group', () => {
    it('is changed though its selector has a label of old, which nobody can write anew', async () => {
      const selector = { site: 'shop\t7', ring: 'edge' }
      const data = deviceGroupInput.omit({ selector: true }).parse({ name: 'of-old' })
      const { id } = await store.transaction(actor, (transaction) =>
        transaction.create(deviceGroupKind, { data: { ...data, selector } }),
      )
      const update = (change: object) =>
        world.call<DeviceGroup>(world.releases.handlers.deviceGroups.update, { params: { id }, body: { data: change } })
      expect((await update({ description: 'The shop' })).data).toMatchObject({ description: 'The shop', selector })
      expect((await update({ selector: { ...selector, ring: 'all' } })).data.selector.ring).toBe('all')
      for (const site of ['shop\t8', 'a\nb']) {
        await expect(update({ selector: { site } })).rejects.toMatchObject({
          code: 'invalid-input',
          message: expect.stringMatching(/^data\.selector\.site: must be one line/),
        })
      }
      expect((await update({ selector: { site: null } })).data.selector).toEqual({ ring: 'all' })
      await world.call(world.releases.handlers.deviceGroups.delete, { params: { id } })
    })

    it('takes channels and pins of the right type, of releases that are signed, and of none that is not there', async () => {
      const [app, host] = [await world.makeRelease('4.0.0'), await hostRelease('4.0.0')]
      const [appChannel, hostChannel] = [await world.makeChannel('four'), await world.makeChannel('four-host', 'host')]
      const withdrawn = await world.makeRelease('4.0.1')
      await withdraw(withdrawn.id)
      const refusals: [object, RegExp][] = [
        [{ pinnedAppReleaseId: host.id }, /baseos 4\.0\.0 for rpi is a release of type host.*pinned as the app/],
        [{ pinnedHostReleaseId: app.id }, /type app.*pinned as the host/],
        [{ appChannelId: hostChannel.id }, /four-host is a channel of type host/],
        [{ hostChannelId: appChannel.id }, /four is a channel of type app/],
        [{ pinnedAppReleaseId: withdrawn.id }, /withdrawn/],
        [{ appChannelId: app.id }, /no channel with the id/],
        [{ pinnedAppReleaseId: appChannel.id }, /no release with the id/],
      ]
      for (const [data, sentence] of refusals) {
        await expect(makeGroup('four', data), JSON.stringify(data)).rejects.toThrow(sentence)
        const device = await world.enrol(`four-${Math.random().toString(36).slice(2, 10)}`)
        if (Object.keys(data).some((name) => name.endsWith('ChannelId'))) continue
        const update = world.devices.handlers.devices.update
        await expect(world.call(update, { params: { id: device.id }, body: { data } })).rejects.toThrow(sentence)
      }
      const good = { pinnedAppReleaseId: app.id, hostChannelId: hostChannel.id, selector: { four: '4' } }
      expect((await makeGroup('four', good)).data).toMatchObject(good)
    })

    it('counts its members: those it selects and no group before it', async () => {
      const [one, two, three] = [
        await world.enrol('member-1', { shop: 'x', ring: '1' }),
        await world.enrol('member-2', { shop: 'x' }),
        await world.enrol('member-3', { shop: 'y' }),
      ]
      const group = await makeGroup('members', { selector: { shop: 'x' }, priority: 20 })
      await makeGroup('members-first', { selector: { shop: 'x', ring: '1' }, priority: 10 })
      const members = await world.call(world.releases.handlers.deviceGroups.members, { params: { id: group.id } })
      expect(members).toEqual({ count: 1, devices: [{ id: two.id, name: 'member-2' }] })
      expect([one.id, three.id]).not.toContain(two.id)
    })
  })
})

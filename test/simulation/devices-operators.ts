import {
  type Channel,
  deviceGroupInput,
  deviceKind,
  FreeholdError,
  isOpenRollout,
  type Release,
  type ReleaseRollout,
  releaseInput,
  releaseRolloutInput,
  releaseRolloutKind,
} from '@freehold/contracts'
import type { World } from './devices-world.ts'

export interface Operators {
  channels: Channel[]
  /** One thing that people do, at random. */
  act(): Promise<void>
  release(badShare: number): Promise<Release>
  rollOut(options: { channel: Channel; releaseId: string; phases: object[] }): Promise<ReleaseRollout>
  openRollouts(): Promise<ReleaseRollout[]>
  /** Ends what is open, whoever has the release keeps it. */
  endAll(): Promise<void>
  /** How often each thing was done. */
  done: Record<string, number>
}

/** People who make releases, roll them out, pin, relabel, pause, abort and change their minds. */
export async function createOperators(world: World): Promise<Operators> {
  const { random, watch } = world
  const releases: Release[] = []
  const done: Record<string, number> = {}
  const handlers = () => world.plane().fleet.handlers
  const call = <Result>(handler: (input: never) => Promise<unknown>, input: object = {}) =>
    world.plane().call<Result>(handler, input)
  const oneOf = <Item>(items: readonly Item[]): Item | undefined => items[random.below(items.length)]
  const makeChannel = (name: string) =>
    call<Channel>(handlers().channels.create, { body: { data: { name, type: 'app', description: '' } } })
  const stable = await makeChannel('stable')
  const beta = await makeChannel('beta')
  const channels = [stable, beta]
  const makeGroup = (name: string, priority: number, selector: object, channel: Channel) =>
    call<{ id: string }>(handlers().deviceGroups.create, {
      body: { data: deviceGroupInput.parse({ name, priority, selector, appChannelId: channel.id }) },
    })
  await makeGroup('beta', 10, { ring: 'beta' }, beta)
  const kiosks = await makeGroup('kiosks', 20, { ring: 'kiosk' }, stable)
  await makeGroup('everyone', 100, {}, stable)

  async function release(badShare: number): Promise<Release> {
    const services = [{ name: 'web', image: 'shop/web:1' }]
    const version = `1.${releases.length}.0`
    const data = releaseInput.parse({ product: 'shop', version, type: 'app', services })
    const made = await call<Release>(handlers().releases.create, { body: { data } })
    world.badShare.set(made.id, badShare)
    releases.push(made)
    return made
  }

  async function rollOut(options: { channel: Channel; releaseId: string; phases: object[] }): Promise<ReleaseRollout> {
    const { channel, releaseId, phases } = options
    const data = releaseRolloutInput.parse({ channelId: channel.id, releaseId, phases, soakSeconds: 60 })
    const made = await call<ReleaseRollout>(handlers().releaseRollouts.create, { body: { data } })
    watch.noteRollout(made.id, await membersOf(made.id))
    return made
  }

  async function membersOf(rolloutId: string): Promise<Map<string, number>> {
    const members = new Map<string, number>()
    let cursor: string | null = null
    do {
      const query = { limit: 500, ...(cursor === null ? {} : { cursor }) }
      const page: { items: { deviceId: string; phase: number }[]; nextCursor: string | null } = await call(
        handlers().releaseRollouts.members,
        { params: { id: rolloutId }, query },
      )
      for (const { deviceId, phase } of page.items) {
        const device = await world.plane().store.get(deviceKind, deviceId)
        if (device !== undefined) members.set(device.data.nodeId, phase)
      }
      cursor = page.nextCursor
    } while (cursor !== null)
    return members
  }

  const openRollouts = async (): Promise<ReleaseRollout[]> =>
    (await world.plane().store.all(releaseRolloutKind)).filter(({ status }) => isOpenRollout(status))

  async function update(change: { data?: object; labels?: object }): Promise<void> {
    const id = await world.idOf(oneOf(world.devices)?.nodeId ?? '')
    if (id !== undefined) await call(handlers().devices.update, { params: { id }, body: { data: {}, ...change } })
  }

  async function begin(): Promise<void> {
    const channel = oneOf(channels) ?? stable
    const bad = oneOf([0, 0, 0.01, 0.03, 0.5]) ?? 0
    await rollOut({
      channel,
      releaseId: random.below(5) === 0 ? (oneOf(releases)?.id ?? '') : (await release(bad)).id,
      phases: oneOf<object[]>([
        [],
        [{ count: 5, soakMinutes: 10 }, { percent: 20, successPercent: 80, approval: random.below(2) === 0 }, {}],
        [{ percent: 3, errorPercent: 20 }, { percent: 30, soakMinutes: 60, successPercent: 70, errorPercent: 10 }, {}],
      ]) as object[],
    })
  }

  async function steer(verb: 'pause' | 'resume' | 'approve' | 'retry' | 'abort'): Promise<void> {
    const rollout = oneOf(await openRollouts())
    if (rollout === undefined) return
    const body = verb === 'abort' ? { devices: random.below(2) === 0 ? 'keep' : 'revert' } : undefined
    await call(handlers().releaseRollouts[verb], { params: { id: rollout.id }, body })
  }

  async function pin(): Promise<void> {
    const pinnedAppReleaseId = random.below(2) === 0 ? null : (oneOf(releases)?.id ?? null)
    if (pinnedAppReleaseId !== null) watch.notePinned(pinnedAppReleaseId)
    if (random.below(4) > 0) return update({ data: { pinnedAppReleaseId } })
    await call(handlers().deviceGroups.update, { params: { id: kiosks.id }, body: { data: { pinnedAppReleaseId } } })
  }

  const things: [weight: number, name: string, thing: () => Promise<unknown>][] = [
    [3, 'begin', begin],
    [2, 'pause', () => steer('pause')],
    [4, 'resume', () => steer('resume')],
    [4, 'approve', () => steer('approve')],
    [2, 'retry', () => steer('retry')],
    [1, 'abort', () => steer('abort')],
    [3, 'pin', pin],
    [6, 'relabel', () => update({ labels: { ring: oneOf(['beta', 'kiosk', 'plain']) ?? 'plain' } })],
    [2, 'act', actOn],
    [1, 'withdraw', withdraw],
  ]

  async function actOn(): Promise<void> {
    const id = await world.idOf(oneOf(world.devices)?.nodeId ?? '')
    const body = { kind: 'reboot', force: false, expiresInSeconds: 86_400 }
    if (id !== undefined) await call(handlers().devices.act, { params: { id }, body })
  }

  async function withdraw(): Promise<void> {
    const id = oneOf(releases)?.id
    if (id !== undefined && random.below(4) === 0) await call(handlers().releases.withdraw, { params: { id } })
  }

  return {
    channels,
    release,
    rollOut,
    openRollouts,
    done,
    async act() {
      let at = random.below(things.reduce((sum, [weight]) => sum + weight, 0))
      const [, name, thing] = things.find(([weight]) => {
        at -= weight
        return at < 0
      }) ?? [1, 'begin', begin]
      try {
        await thing()
        done[name] = (done[name] ?? 0) + 1
      } catch (error) {
        // What an operator asks for may not be possible now, and is then refused with a sentence.
        if (!(error instanceof FreeholdError) || !['conflict', 'not-found'].includes(error.code)) throw error
      }
      await watch.noteCarried()
      for (const rollout of await world.plane().store.all(releaseRolloutKind)) watch.checkCounts(rollout)
    },
    async endAll() {
      for (const { id, data } of await openRollouts()) {
        if (data.aborted !== null) continue
        await call(handlers().releaseRollouts.abort, { params: { id }, body: { devices: 'keep' } })
      }
    },
  }
}

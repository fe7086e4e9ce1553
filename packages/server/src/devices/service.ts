import { randomUUIDv7 } from 'node:crypto'
import { type Device, deviceInput, deviceKind, FreeholdError } from '@freehold/contracts'
import type { Store, Transaction } from '@freehold/store'
import type { Handlers } from '../http/handler.ts'
import { mergedData } from '../http/merged.ts'
import { getResource, listResources } from '../http/resources.ts'
import type { ReleasesOfDevices } from '../releases/index.ts'
import { endCredentials } from './credentials.ts'
import { readHistory } from './history.ts'
import { type DeviceFacts, reportIn, snapshotOf } from './keeper.ts'
import { connectionOf, type DeviceAction, openActions, readoptMs, summaryOf } from './kind.ts'
import type { Live } from './live.ts'
import type { Presence } from './presence.ts'

const lateCursor = 'late:'
/** Actions a device may have before it at once; the contract's bound. */
const actionsAtMost = 16

/** Handlers of the noun. What is stored is shown with what is known since. */
export function createDeviceHandlers(options: {
  store: Store
  presence: Presence
  releases: Pick<ReleasesOfDevices, 'resolve' | 'checkPins'>
  now: () => number
}): Handlers<'devices'> {
  const { store, presence, releases, now } = options

  async function shown(devices: readonly Device[]): Promise<Device[]> {
    const absent = devices.filter(({ id }) => presence.get(id) === undefined).map(({ id }) => id)
    const facts = await store.facts.getMany(deviceKind, absent)
    return devices.map((device) => {
      const live = presence.get(device.id)
      return live === undefined
        ? withFacts(device, facts.get(device.id) as DeviceFacts)
        : withLive(device, live, { presence, now: now() })
    })
  }
  const one = async (device: Device): Promise<Device> => (await shown([device]))[0] ?? device

  /** Nobody is written down as late: those who are come from memory, in order of id. */
  async function listLate(query: { limit: number; cursor?: string | undefined }) {
    const after = query.cursor?.startsWith(lateCursor) === true ? query.cursor.slice(lateCursor.length) : ''
    const ids = [...presence.all()].filter((live) => isLate(live, now()) && live.id > after).map(({ id }) => id)
    const page = ids.toSorted().slice(0, query.limit)
    const devices = await Promise.all(page.map((id) => store.get(deviceKind, id)))
    return {
      items: await shown(devices.filter((device) => device !== undefined)),
      nextCursor: ids.length > page.length ? `${lateCursor}${page.at(-1) ?? ''}` : null,
      version: await store.version(),
    }
  }

  const act = async (input: { id: string; actor: Parameters<Store['transaction']>[0]; work: Act }): Promise<Device> => {
    const device = await store.transaction(input.actor, async (transaction) =>
      input.work(transaction, await getResource(transaction, deviceKind, input.id), now()),
    )
    presence.distrust(input.id)
    return one(device)
  }

  return {
    async list({ query }) {
      if (query.state === 'late') return listLate(query)
      const page = await listResources(store, deviceKind, query)
      return { ...page, items: await shown(page.items) }
    },
    get: async ({ params }) => one(await getResource(store, deviceKind, params.id)),
    report: ({ params }) => reportOf(store, { id: params.id, presence, now: now() }),
    update: ({ params, body: { data: patch, labels, version }, caller }) =>
      act({
        id: params.id,
        actor: caller.actor,
        work: async (transaction, { data }) => {
          const { name, description, pinnedAppReleaseId, pinnedHostReleaseId } = data
          const before = { name, description, pinnedAppReleaseId, pinnedHostReleaseId }
          const after = mergedData(deviceInput, before, patch)
          await releases.checkPins(transaction, { before, after })
          return transaction.update(deviceKind, params.id, {
            data: { ...data, ...after },
            ...(labels === undefined ? {} : { labels }),
            ...(version === undefined ? {} : { expectedVersion: version }),
          })
        },
      }),
    approve: ({ params, caller }) => act({ id: params.id, actor: caller.actor, work: approve }),
    revoke: ({ params, caller }) => act({ id: params.id, actor: caller.actor, work: revoke }),
    readopt: ({ params, caller }) => act({ id: params.id, actor: caller.actor, work: readopt }),
    acknowledge: ({ params, caller }) => act({ id: params.id, actor: caller.actor, work: acknowledge }),
    releases: async ({ params }) => releases.resolve(await getResource(store, deviceKind, params.id)),
    act: ({ params, body, caller }) => {
      const concluded = concludedActions(presence, params.id)
      const { kind, force, expiresInSeconds } = body
      const expiresAt = new Date(now() + expiresInSeconds * 1000).toISOString()
      const action = { id: randomUUIDv7(), kind, force, expiresAt }
      return act({
        id: params.id,
        actor: caller.actor,
        work: (transaction, device) => addAction(transaction, device, { action, concluded, now: now() }),
      })
    },
    async delete({ params, query, caller }) {
      await store.transaction(caller.actor, async (transaction) => {
        await endCredentials(transaction, params.id)
        await transaction.delete(
          deviceKind,
          params.id,
          query.version === undefined ? {} : { expectedVersion: query.version },
        )
      })
      presence.forget(params.id)
      return undefined
    },
  }
}

type Act = (transaction: Transaction, device: Device, now: number) => Promise<Device>

const approve: Act = async (transaction, device, now) => {
  if (device.data.access === 'revoked') {
    throw new FreeholdError('conflict', 'This device was revoked; `readopt` lets it in again.')
  }
  if (device.data.access === 'allowed') return device
  await transaction.update(deviceKind, device.id, { data: { ...device.data, access: 'allowed' } })
  const at = new Date(now).toISOString()
  const message = 'Approved; it gets its token with its next registration.'
  return transaction.setStatus(deviceKind, device.id, {
    ...device.status,
    state: 'enrolled',
    message,
    since: at,
    enrolledAt: at,
  })
}

const revoke: Act = async (transaction, device, now) => {
  if (device.data.access === 'revoked') return device
  await transaction.update(deviceKind, device.id, {
    data: { ...device.data, access: 'revoked', readoptUntil: null },
  })
  return transaction.setStatus(deviceKind, device.id, {
    ...device.status,
    state: 'revoked',
    message: 'Shut out by an operator.',
    since: new Date(now).toISOString(),
  })
}

const readopt: Act = (transaction, device, now) =>
  transaction.update(deviceKind, device.id, {
    data: { ...device.data, readoptUntil: new Date(now + readoptMs).toISOString() },
  })

const acknowledge: Act = (transaction, device) =>
  transaction.setStatus(deviceKind, device.id, { ...device.status, claim: null, clone: null })

/** Asks one thing more of a device; what it has done, or may no longer do, makes room. */
function addAction(
  transaction: Transaction,
  device: Device,
  { action, concluded, now }: { action: DeviceAction; concluded: ReadonlySet<string>; now: number },
): Promise<Device> {
  const { name, access } = device.data
  if (access !== 'allowed') {
    const why =
      access === 'waiting' ? 'it was not let in yet; `approve` does' : 'it was revoked; `readopt` lets it in again'
    throw new FreeholdError('conflict', `Nothing can be asked of ${name}: ${why}.`)
  }
  const open = openActions(device.data.actions, now).filter(({ id }) => !concluded.has(id))
  if (open.length >= actionsAtMost) {
    throw new FreeholdError(
      'conflict',
      `${name} has ${actionsAtMost} requests before it that it has not answered. Wait until it is heard, or until they expire.`,
    )
  }
  return transaction.update(deviceKind, device.id, { data: { ...device.data, actions: [...open, action] } })
}

/** Those of which the device has said what came of them. */
function concludedActions(presence: Presence, id: string): Set<string> {
  const live = presence.get(id)
  const report = live === undefined ? null : reportIn(presence.reportOf(live))
  return new Set(
    (report?.actions ?? []).flatMap((action) => (action === null || action.id === null ? [] : [action.id])),
  )
}

async function reportOf(reads: Store, { id, presence, now }: { id: string; presence: Presence; now: number }) {
  await getResource(reads, deviceKind, id)
  const live = presence.get(id)
  const facts = (await reads.facts.get(deviceKind, id)) as DeviceFacts
  const report = (live === undefined ? null : reportIn(presence.reportOf(live))) ?? reportIn(facts.report?.body)
  return {
    lastHeartbeatAt: live === undefined ? (facts.report?.at ?? null) : new Date(live.lastAtMs).toISOString(),
    report,
    ...readHistory(facts.history, now),
  }
}

function isLate(live: Live, now: number): boolean {
  return connectionOf(now - live.lastAtMs, live.intervalMs) === 'late'
}

/** A revoked or waiting device stays what it is, whatever was heard of it before. */
function withLive(device: Device, live: Live, { presence, now }: { presence: Presence; now: number }): Device {
  const { state, message } = device.status
  const silentMs = now - live.lastAtMs
  const isLateNow = connectionOf(silentMs, live.intervalMs) !== 'online'
  const isOpen = device.data.access === 'allowed' && live.lastAtMs > Date.parse(device.status.enrolledAt ?? '')
  const snapshot = snapshotOf(presence, live)
  return {
    ...device,
    status: {
      ...device.status,
      ...snapshot,
      summary: snapshot?.summary ?? device.status.summary,
      state: isOpen ? (isLateNow ? 'late' : 'online') : state,
      message: isOpen ? (isLateNow ? `Not heard for ${Math.round(silentMs / 1000)} s.` : 'Heard.') : message,
    },
  }
}

function withFacts(device: Device, facts: DeviceFacts | undefined): Device {
  if (facts?.report === undefined) return device
  const { at, intervalMs, body } = facts.report
  const report = reportIn(body)
  return {
    ...device,
    status: {
      ...device.status,
      lastHeartbeatAt: at,
      intervalMs,
      summary: report === null ? device.status.summary : summaryOf(report),
    },
  }
}

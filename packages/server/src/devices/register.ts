import {
  type Device,
  type DeviceRegisterAnswer,
  deviceCredentialKind,
  deviceKind,
  deviceRegisterRequestSchema,
  FreeholdError,
  type JoinToken,
} from '@freehold/contracts'
import type { Actor, Reads, Store, Transaction } from '@freehold/store'
import type { z } from 'zod'
import type { RuntimeSettings } from '../settings/index.ts'
import { endCredentials, hashOf, keepSecret, offerToken } from './credentials.ts'
import { type Decision, decide, type RefusalReason, refusalMessages } from './enrolment.ts'
import { createHaste } from './haste.ts'
import { judgeJoinToken, noteRefusal, noteUse } from './join-tokens.ts'
import { nameFor, summaryOf } from './kind.ts'
import { createPace } from './pace.ts'
import type { Strangers } from './strangers.ts'

export const registerRequest = deviceRegisterRequestSchema
type Request = z.output<typeof registerRequest>

/** What a registration is answered with, and its HTTP status. */
export interface RegisterOutcome {
  status: 200 | 202 | 403
  answer: DeviceRegisterAnswer
  /** The device whose tokens may have ended by it. */
  deviceId: string | null
}

const waitingAtMost = 10_000
const askAgainSeconds = 30
const refusedAgainSeconds = 300
/** Refusals that are written down, a minute; who hammers us with old tokens must not fill the log of changes. */
const writtenRefusals = 120
/** One device may register this often; each time it gets a token, which is written. Agents do it once. */
const haste = { burst: 10, spacingMs: 30_000 }

/** Turns registrations into devices and node tokens. */
export function createRegister(options: {
  store: Store
  settings: RuntimeSettings
  strangers: Strangers
  now: () => number
}) {
  const { store, settings, strangers, now } = options
  const refusals = createPace({ perMinute: writtenRefusals, now })
  const hasty = createHaste({ ...haste, now })

  /** `bearer`: an old node token or the join token; see the contract. */
  return async (request: Request, from: { bearer: string | undefined; address: string }): Promise<RegisterOutcome> => {
    const judge = (reads: Reads) => openCase(reads, { request, ...from, settings, now: now() })
    // Judged before anything is written, so that strangers cost no transaction, and those who are let in wait for none.
    const seen = await judge(store)
    const { decision, device, hasProof } = seen
    if (decision.kind === 'refuse') {
      if (!hasProof && decision.reason !== 'closed') strangers.note(from.address)
      if (!isWorthNoting(seen, decision)) return refused(seen, decision.reason)
    } else if (device !== undefined) slowDown(device)
    const actor: Actor = { type: 'agent', id: 'enrolment', name: request.nodeId }
    return store.transaction(actor, async (transaction) =>
      settle(transaction, await judge(transaction), () => refusals.take()),
    )
  }

  function slowDown({ id }: Device): void {
    const retryAfterSeconds = hasty.take(id)
    if (retryAfterSeconds === 0) return
    throw new FreeholdError('too-many-requests', 'This device registers too often; it must wait.', {
      retryAfterSeconds,
    })
  }
}

/** Refusals that a person can do something about: of a join token that was made here, or by somebody who holds one. */
function isWorthNoting({ token, device }: Case, { isClaim }: Extract<Decision, { kind: 'refuse' }>): boolean {
  return token !== undefined || (device !== undefined && isClaim)
}

interface Case {
  request: Request
  address: string
  now: number
  device: Device | undefined
  token: JoinToken | undefined
  verdict: Parameters<typeof decide>[0]['joinToken']
  hasProof: boolean
  decision: Decision
}

/** Everything a registration is judged by, and the judgement. */
async function openCase(
  reads: Reads,
  input: {
    request: Request
    bearer: string | undefined
    address: string
    settings: RuntimeSettings
    now: number
  },
): Promise<Case> {
  const { request, bearer, address, settings, now } = input
  const device = await reads.find(deviceKind, 'nodeId', request.nodeId)
  const credentials =
    device === undefined ? [] : await reads.all(deviceCredentialKind, { where: { deviceId: device.id } })
  const holds = (purpose: 'token' | 'secret' | 'claim', value: string | null | undefined) =>
    typeof value === 'string' && credentials.some(({ data }) => data.purpose === purpose && data.hash === hashOf(value))
  const provedByToken = holds('token', bearer)
  const joinToken = request.joinToken ?? (provedByToken ? undefined : bearer)
  const { verdict, resource } = await judgeJoinToken(reads, { joinToken, settings, now })
  const hasSecret = credentials.some(({ data }) => data.purpose === 'secret')
  const wasHeard = credentials.some(({ data }) => data.purpose === 'token' && data.used)
  // An agent without a secret of its own may repeat a registration whose answer was lost, until it was ever heard.
  const repeats =
    device !== undefined &&
    !hasSecret &&
    !wasHeard &&
    (resource === undefined ? verdict === 'good' : true) &&
    verdict !== 'missing' &&
    device.status.joinTokenId === (resource?.id ?? null)
  const hasProof = provedByToken || holds('secret', request.deviceSecret) || repeats
  const claimed = credentials.some(({ data }) => data.purpose === 'claim')
  const decision = decide({
    device:
      device === undefined
        ? undefined
        : {
            access: device.data.access,
            readoptOpen: device.data.readoptUntil !== null && Date.parse(device.data.readoptUntil) > now,
          },
    hasProof,
    claim: !claimed ? 'none' : holds('claim', request.deviceSecret) ? 'same' : 'other',
    joinToken: verdict,
    approval: await settings.approval(reads),
    isQueueFull: device === undefined && (await isQueueFull(reads)),
  })
  return { request, address, now, device, token: resource, verdict, hasProof, decision }
}

async function isQueueFull(reads: Reads): Promise<boolean> {
  return (await reads.count(deviceKind, { where: { state: 'waiting' } })) >= waitingAtMost
}

async function settle(
  transaction: Transaction,
  record: Case,
  mayWriteRefusal: () => boolean,
): Promise<RegisterOutcome> {
  const { decision, device } = record
  if (decision.kind === 'refuse') {
    if (mayWriteRefusal()) await writeRefusal(transaction, record, decision)
    return refused(record, decision.reason)
  }
  if (decision.kind === 'create') {
    const created = await createDevice(transaction, record, decision.access)
    return decision.access === 'waiting' ? waiting(record, created.id) : accepted(transaction, record, created.id)
  }
  if (device === undefined) throw new Error(`The decision ${decision.kind} needs a device.`)
  if (decision.kind === 'wait') return waiting(record, device.id)
  if (decision.kind === 'readopt') await readopt(transaction, record, device)
  return accepted(transaction, record, device.id)
}

async function createDevice(transaction: Transaction, record: Case, access: 'waiting' | 'allowed'): Promise<Device> {
  const { request, token, now } = record
  const at = new Date(now).toISOString()
  if (token !== undefined) await noteUse(transaction, token, now)
  const device = await transaction.create(deviceKind, {
    data: {
      name: nameFor(request.status, request.nodeId),
      description: '',
      nodeId: request.nodeId,
      access,
      readoptUntil: null,
      pinnedAppReleaseId: null,
      pinnedHostReleaseId: null,
      actions: [],
    },
    status: {
      ...deviceKind.initialStatus,
      state: access === 'waiting' ? 'waiting' : 'enrolled',
      message: access === 'waiting' ? deviceKind.initialStatus.message : 'Enrolled; not heard of yet.',
      since: at,
      enrolledAt: access === 'waiting' ? null : at,
      joinTokenId: token?.id ?? null,
      summary: summaryOf(request.status),
    },
    ...(token === undefined ? {} : { labels: token.data.deviceLabels }),
  })
  await keepSecret(transaction, { deviceId: device.id, purpose: 'secret', secret: request.deviceSecret })
  return device
}

/** What was proof before is none any more; what came now is. */
async function readopt(transaction: Transaction, { request, now }: Case, device: Device): Promise<void> {
  const at = new Date(now).toISOString()
  await endCredentials(transaction, device.id)
  await keepSecret(transaction, { deviceId: device.id, purpose: 'secret', secret: request.deviceSecret })
  await transaction.update(deviceKind, device.id, { data: { ...device.data, access: 'allowed', readoptUntil: null } })
  await transaction.setStatus(deviceKind, device.id, {
    ...device.status,
    state: 'enrolled',
    message: 'Enrolled anew; not heard of yet.',
    since: at,
    enrolledAt: at,
    summary: summaryOf(request.status),
    claim: null,
    clone: null,
  })
}

async function writeRefusal(
  transaction: Transaction,
  record: Case,
  { reason, isClaim }: Extract<Decision, { kind: 'refuse' }>,
): Promise<void> {
  const { device, token, request, address, now } = record
  const at = new Date(now).toISOString()
  if (token !== undefined) await noteRefusal(transaction, token, { at, reason, nodeId: request.nodeId, address })
  if (device === undefined || !isClaim) return
  const attempts = (device.status.claim?.attempts ?? 0) + 1
  await transaction.setStatus(deviceKind, device.id, { ...device.status, claim: { at, address, attempts } })
  await keepSecret(transaction, { deviceId: device.id, purpose: 'claim', secret: request.deviceSecret })
}

async function accepted(transaction: Transaction, record: Case, deviceId: string): Promise<RegisterOutcome> {
  const { request, now } = record
  const token = await offerToken(transaction, { deviceId, now })
  const at = new Date(now).toISOString()
  return { status: 200, answer: { state: 'accepted', nodeId: request.nodeId, ...token, at }, deviceId }
}

function waiting({ request, now }: Case, deviceId: string): RegisterOutcome {
  return {
    status: 202,
    answer: {
      state: 'waiting',
      nodeId: request.nodeId,
      message: 'This device waits for an operator to approve it: `freehold devices approve`, or on the page Devices.',
      retryAfterSeconds: askAgainSeconds,
      at: new Date(now).toISOString(),
    },
    deviceId,
  }
}

function refused({ device, now }: Case, reason: RefusalReason): RegisterOutcome {
  return {
    status: 403,
    answer: {
      state: 'refused',
      reason,
      message: refusalMessages[reason],
      retryAfterSeconds: reason === 'known-node' ? askAgainSeconds * 2 : refusedAgainSeconds,
      at: new Date(now).toISOString(),
    },
    deviceId: device?.id ?? null,
  }
}

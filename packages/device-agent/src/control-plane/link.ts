import type { DeviceStatus } from '@freehold/contracts'
import { deviceLimits, deviceProtocol } from '@freehold/contracts/lean'
import { type Backoff, backoffMs, type Random } from '@freehold/reconcile'
import { type Log, sentenceOf } from '../log.ts'
import { type Redactor, Secret } from '../secret.ts'
import type { StateStore } from '../state/store.ts'
import type { HeartbeatAnswer, RegisterAnswer } from './answers.ts'
import type { Asked, CloudlyConnector } from './connector.ts'
import {
  afterAccepted,
  afterHeartbeat,
  askedPauseMs,
  type Call,
  type Doubt,
  doubtAfterRefusal,
  firstPauseMs,
  heartbeatPauseMs,
  nextCall,
  wantsRotation,
} from './rules.ts'

/** Where the device stands with its control plane; `status` prints it. */
export interface LinkStatus {
  state:
    | 'not-configured'
    | 'not-registered'
    | 'registered'
    | 'waiting'
    | 'refused'
    | 'unreachable'
    | 'busy'
    | 'connected'
  message: string
  /** The interval that is kept now. */
  intervalMs: number
  /** Since the last heartbeat that was answered; null: none in this process. */
  lastAnswerAgeMs: number | null
}

export interface Link {
  /** One call to the control plane, register or heartbeat, whichever is due. Throws where nothing came of it. */
  beat(signal: AbortSignal): Promise<{ againInMs: number }>
  status(): LinkStatus
  /** The control plane's time now, as it was last told; null: not since the start. */
  serverNowMs(): number | null
  /** For the driver's pauses after failures: never slower than the interval, never longer than 15 minutes. */
  backoff: Backoff
}

/** How long a device that is told to stay away waits before it asks again. */
const forbiddenPauseMs = 15 * 60_000

interface Memory {
  doubt: Doubt
  intervalMs: number
  sequence: number
  /** The server's clock at a moment of ours. */
  server: { atMs: number; monotonicMs: number } | null
  answeredMs: number | null
  busyInARow: number
  state: LinkStatus['state']
  message: string
}

export function createLink(options: {
  connector: Pick<CloudlyConnector, 'register' | 'heartbeat'>
  store: StateStore
  joinToken: Secret | null
  intervalMs: number
  bootId: string
  collectStatus: (signal: AbortSignal) => Promise<DeviceStatus>
  random: Random
  monotonicMs: () => number
  wallMs: () => number
  redactor: Redactor
  log: Log
  /** For the list of problems in the next status; null: solved. */
  onStorageProblem: (problem: string | null) => void
  /** A heartbeat was answered, and what it brought is stored. */
  onAnswered?: () => void
  /** The desired state is to be told anew, whichever the device holds. */
  askAnew?: () => { isWanted(): boolean; noteAsked(): void } | undefined
}): Link {
  const { connector, store, random, monotonicMs, redactor, log } = options
  const isRegistered = store.current().nodeToken !== null
  const memory: Memory = {
    doubt: 'none',
    intervalMs: options.intervalMs,
    sequence: 0,
    server: null,
    answeredMs: null,
    busyInARow: 0,
    state: isRegistered ? 'registered' : 'not-registered',
    message: isRegistered ? 'It has a node token.' : 'It has not registered yet.',
  }
  const become = (state: LinkStatus['state'], message: string) => {
    if (memory.state !== state) log.info(`Control plane: ${state}.`, { why: message })
    memory.state = state
    memory.message = message
  }
  const heard = (at: string, wantedIntervalMs: number | null) => {
    memory.busyInARow = 0
    memory.server = { atMs: Date.parse(at), monotonicMs: monotonicMs() }
    const wanted = wantedIntervalMs ?? options.intervalMs
    if (wanted !== memory.intervalMs) log.info('The interval of heartbeats is now another.', { intervalMs: wanted })
    memory.intervalMs = wanted
  }
  const keep = async (how: Parameters<StateStore['change']>[0]): Promise<boolean> => {
    try {
      await store.change(how)
      options.onStorageProblem(null)
      return true
    } catch (error) {
      options.onStorageProblem(sentenceOf(error))
      log.error('The state could not be stored.', { reason: sentenceOf(error) })
      return false
    }
  }

  const serverNowMs = () => memory.server && memory.server.atMs + monotonicMs() - memory.server.monotonicMs

  const requestOf = async (signal: AbortSignal) => ({
    protocol: deviceProtocol,
    nodeId: store.current().nodeId,
    bootId: options.bootId,
    sequence: ++memory.sequence,
    sentAt: timeText(options.wallMs()),
    status: await options.collectStatus(signal),
  })

  const onRefusedToken = (message: string): { againInMs: number } => {
    memory.doubt = doubtAfterRefusal(store.current(), memory.doubt)
    become('not-registered', message)
    return { againInMs: firstPauseMs(memory.intervalMs, random) }
  }
  /** What every call may end in besides an answer. */
  const onNoAnswer = (asked: Exclude<Asked<never>, { kind: 'answered' }>): { againInMs: number } => {
    switch (asked.kind) {
      case 'busy': {
        memory.busyInARow += 1
        become('busy', asked.message)
        const ownMs = backoffMs(backoff, memory.busyInARow, random)
        return { againInMs: Math.max(ownMs, askedPauseMs(asked.retryAfterMs, random)) }
      }
      case 'forbidden':
        memory.doubt = 'all'
        become('refused', asked.message)
        return { againInMs: askedPauseMs(forbiddenPauseMs, random) }
      default:
        become('unreachable', asked.message)
        throw new Error(asked.message)
    }
  }

  const heartbeat = async (call: Extract<Call, { kind: 'heartbeat' }>, signal: AbortSignal) => {
    const state = store.current()
    const isAnew = options.askAnew?.()?.isWanted() ?? false
    const asked = await connector.heartbeat(
      {
        ...(await requestOf(signal)),
        generation: isAnew ? 0 : state.generation,
        intervalMs: Math.round(memory.intervalMs),
        rotateToken: call.which === 'newest' && wantsRotation(state.tokenLife, serverNowMs()),
      },
      new Secret(call.token),
      signal,
    )
    if (asked.kind === 'unknown') return onRefusedToken(asked.message)
    if (asked.kind !== 'answered') return onNoAnswer(asked)
    if (isAnew) options.askAnew?.()?.noteAsked()
    return await onHeartbeat(call.token, asked.answer)
  }
  const onHeartbeat = async (usedToken: string, answer: HeartbeatAnswer) => {
    if (answer.nodeToken) redactor.remember(new Secret(answer.nodeToken))
    heard(answer.at, answer.heartbeatIntervalMs)
    memory.answeredMs = monotonicMs()
    memory.doubt = 'none'
    // What cannot be stored is not taken: an offered token that is used but lost at a restart would leave none.
    await keep((state) => afterHeartbeat(state, usedToken, answer))
    become('connected', 'The last heartbeat was answered.')
    options.onAnswered?.()
    return { againInMs: heartbeatPauseMs(memory.intervalMs, random) }
  }

  const register = async (call: Extract<Call, { kind: 'register' }>, signal: AbortSignal) => {
    // The secret must be on disk before the control plane learns it: it is the proof after a lost answer.
    if (!(await keep((state) => state))) {
      throw new Error('It does not register while its state cannot be stored.')
    }
    const asked = await connector.register(
      { ...(await requestOf(signal)), joinToken: call.joinToken, deviceSecret: store.current().deviceSecret },
      call.bearer === null ? null : new Secret(call.bearer),
      signal,
    )
    if (asked.kind === 'unknown') {
      become('refused', asked.message)
      return { againInMs: askedPauseMs(Math.max(60_000, memory.intervalMs), random) }
    }
    return asked.kind === 'answered' ? await onRegister(asked.answer) : onNoAnswer(asked)
  }
  const onRegister = async (answer: RegisterAnswer): Promise<{ againInMs: number }> => {
    if (answer.state === 'refused') {
      become('refused', `${answer.message} (${answer.reason})`)
      heard(answer.at, null)
      return { againInMs: askedPauseMs(answer.retryAfterSeconds * 1000, random) }
    }
    heard(answer.at, answer.heartbeatIntervalMs)
    if (answer.nodeId !== store.current().nodeId) {
      throw new Error('The control plane answered for another node id than was asked.')
    }
    if (answer.state === 'waiting') {
      become('waiting', answer.message)
      return { againInMs: askedPauseMs(answer.retryAfterSeconds * 1000, random) }
    }
    redactor.remember(new Secret(answer.nodeToken))
    const accept = (state: ReturnType<StateStore['current']>) => afterAccepted(state, answer)
    if (!(await keep(accept))) store.changeInMemory(accept)
    memory.doubt = 'none'
    become('registered', 'The control plane accepted this device.')
    return { againInMs: firstPauseMs(memory.intervalMs, random) }
  }

  const backoff: Backoff = {
    get minMs() {
      return Math.min(5_000, Math.max(1_000, memory.intervalMs / 12))
    },
    get maxMs() {
      return Math.min(15 * 60_000, Math.max(5_000, memory.intervalMs))
    },
  }

  return {
    beat: async (signal) => {
      const joinToken = options.joinToken?.reveal() ?? null
      const call = nextCall({ state: store.current(), joinToken, doubt: memory.doubt })
      const { againInMs } = call.kind === 'heartbeat' ? await heartbeat(call, signal) : await register(call, signal)
      return { againInMs: Math.min(againInMs, deviceLimits.intervalMaxMs * 1.5) }
    },
    status: () => ({
      state: memory.state,
      message: redactor.clean(memory.message),
      intervalMs: memory.intervalMs,
      lastAnswerAgeMs: memory.answeredMs === null ? null : Math.round(monotonicMs() - memory.answeredMs),
    }),
    serverNowMs,
    backoff,
  }
}

/** RFC 3339; a clock beyond what a date can hold says so as the first moment. */
function timeText(wallMs: number): string {
  const time = new Date(wallMs)
  return Number.isNaN(time.getTime()) ? new Date(0).toISOString() : time.toISOString()
}

import { type MemberCounts, type MemberState, memberStates } from '@freehold/contracts'
import { emptyCounts } from './kind.ts'
import type { Cut } from './plan.ts'

/** Members in one fact. */
export const chunkSize = 1000
const messageCharacters = 200
const notOpened = 0xffff
/** In the column of states: it left, had begun with the release before or after that, and has not failed with it. */
const leftBegun = memberStates.length
/** A device in one of these has taken something of the release, and may run it. */
const begunStates: readonly MemberState[] = ['downloading', 'applying', 'soaking', 'succeeded']
/** It has tried the release and runs what it had before. */
const failedStates: readonly MemberState[] = ['failed', 'rolled-back']
/** States in which the words of a device explain something that the state does not. */
const explained: readonly MemberState[] = ['staged', 'failed', 'rolled-back']

/** A member as it stands. */
export interface Member {
  deviceId: string
  phase: number
  state: MemberState
  message: string
  at: string | null
}

/** What a chunk of members is in a fact: little enough that a hundred of them may be written every few seconds. */
export interface ChunkFact {
  /** Base64 of states (1 byte each), attempts (4), seconds since 1970 (4) and indexes of the release before (2). */
  columns: string
  /** By position in the chunk. */
  messages: Record<string, string>
}

/**
 * Who the members of a rollout are and where each stands, in columns: a hundred thousand take some ten megabytes. Who is
 * a member and in which phase never changes. It remembers which chunks changed since they were last taken.
 */
export function createMembers(cut: Cut) {
  const { deviceIds, sizes } = cut
  const size = deviceIds.length
  const indexes = new Map(deviceIds.map((deviceId, index) => [deviceId, index]))
  const states = new Uint8Array(size)
  const attempts = new Uint32Array(size)
  const seconds = new Uint32Array(size)
  const previous = new Uint16Array(size).fill(notOpened)
  const messages = new Map<number, string>()
  const ends = endsOf(sizes)
  const counts = sizes.map((members) => ({ ...emptyCounts(), waiting: members }))
  const dirty = new Set<number>()

  const stateIn = (column: number | undefined): MemberState =>
    column === leftBegun ? 'left' : (memberStates[column ?? 0] ?? 'waiting')
  const stateOf = (index: number): MemberState => stateIn(states[index])
  const hasBegun = (index: number): boolean => states[index] === leftBegun || begunStates.includes(stateOf(index))
  const phaseOf = (index: number): number => ends.findIndex((end) => index < end)

  function set(index: number, change: { state: MemberState; message: string; atMs: number }): void {
    const standing = counts[phaseOf(index)]
    if (standing === undefined) throw new RangeError(`There is no member ${index}.`)
    standing[stateOf(index)] -= 1
    standing[change.state] += 1
    const isLeftBegun = change.state === 'left' && hasBegun(index)
    states[index] = isLeftBegun ? leftBegun : memberStates.indexOf(change.state)
    seconds[index] = Math.floor(change.atMs / 1000)
    const message = explained.includes(change.state) ? change.message.slice(0, messageCharacters).toWellFormed() : ''
    if (message === '') messages.delete(index)
    else messages.set(index, message)
    dirty.add(Math.floor(index / chunkSize))
  }

  function bytesOf(from: number, to: number): Buffer {
    const columns = [states, attempts, seconds, previous].map((column) => column.subarray(from, to))
    return Buffer.concat(columns.map((column) => Buffer.from(column.buffer, column.byteOffset, column.byteLength)))
  }

  return {
    size,
    deviceIds: deviceIds as readonly string[],
    sizes: sizes as readonly number[],
    /** By phase; kept up to date. */
    counts: counts as readonly MemberCounts[],
    indexOf: (deviceId: string): number | undefined => indexes.get(deviceId),
    stateOf,
    /** True where the device has taken something of the release and not failed with it, by its own report; also of those that left. */
    hasBegun,
    /** One that left says how it fares, nevertheless. */
    noteOfLeft(index: number, state: MemberState): void {
      const isSaid = begunStates.includes(state) || failedStates.includes(state)
      const column = begunStates.includes(state) ? leftBegun : memberStates.indexOf('left')
      if (stateOf(index) !== 'left' || !isSaid || states[index] === column) return
      states[index] = column
      dirty.add(Math.floor(index / chunkSize))
    },
    phaseOf,
    /** Where the first so many phases end. */
    endOf: (phases: number): number => (phases === 0 ? 0 : (ends[phases - 1] ?? size)),
    attemptOf: (index: number): number => attempts[index] ?? 0,
    messageOf: (index: number): string => messages.get(index) ?? '',
    /** Index of the release it had before; undefined: it was not assigned this one yet. */
    previousOf: (index: number): number | undefined => {
      const before = previous[index] ?? notOpened
      return before === notOpened ? undefined : before
    },
    at(index: number): Member {
      const at = seconds[index] ?? 0
      return {
        deviceId: deviceIds[index] ?? '',
        phase: phaseOf(index),
        state: stateOf(index),
        message: messages.get(index) ?? '',
        at: at === 0 ? null : new Date(at * 1000).toISOString(),
      }
    },
    set,
    setAttempt(index: number, attempt: number): void {
      attempts[index] = attempt
      dirty.add(Math.floor(index / chunkSize))
    },
    setPrevious(index: number, before: number): void {
      if (before >= notOpened) throw new RangeError('A rollout replaces at most 65,535 different releases.')
      previous[index] = before
      dirty.add(Math.floor(index / chunkSize))
    },
    isDirty: () => dirty.size > 0,
    /** The chunks that changed since the last time. */
    takeDirty(): { chunk: number; fact: ChunkFact }[] {
      const taken = [...dirty].map((chunk) => {
        const from = chunk * chunkSize
        const to = Math.min(size, from + chunkSize)
        const told: Record<string, string> = {}
        for (let index = from; index < to; index++) {
          const message = messages.get(index)
          if (message !== undefined) told[index - from] = message
        }
        return { chunk, fact: { columns: bytesOf(from, to).toString('base64'), messages: told } }
      })
      dirty.clear()
      return taken
    },
    /** Takes over what a fact says. */
    restore(chunk: number, fact: ChunkFact): void {
      const from = chunk * chunkSize
      const to = Math.min(size, from + chunkSize)
      const members = to - from
      const bytes = Buffer.from(fact.columns, 'base64')
      if (bytes.length !== members * 11) throw new Error(`Chunk ${chunk} of the members is damaged.`)
      for (let index = from; index < to; index++) {
        const at = index - from
        const state = stateIn(bytes[at])
        const standing = counts[phaseOf(index)]
        if (standing !== undefined) {
          standing[stateOf(index)] -= 1
          standing[state] += 1
        }
        states[index] = bytes[at] ?? 0
        attempts[index] = bytes.readUInt32LE(members + at * 4)
        seconds[index] = bytes.readUInt32LE(members * 5 + at * 4)
        previous[index] = bytes.readUInt16LE(members * 9 + at * 2)
      }
      for (const [at, message] of Object.entries(fact.messages)) messages.set(from + Number(at), message)
    },
  }
}
export type Members = ReturnType<typeof createMembers>

function endsOf(sizes: readonly number[]): number[] {
  const ends: number[] = []
  for (const size of sizes) ends.push((ends.at(-1) ?? 0) + size)
  return ends
}

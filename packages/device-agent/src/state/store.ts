import { createState, type DeviceState, type StateFile } from './index.ts'

/** The state in memory and on disk, changed by one change at a time. */
export interface StateStore {
  current(): DeviceState
  /** Resolves when the change is on disk. Where it cannot be stored nothing is changed, and the failure is thrown. */
  change(how: (state: DeviceState) => DeviceState): Promise<void>
  /** Changes what is in memory alone, where the disk failed and going on is better than stopping. */
  changeInMemory(how: (state: DeviceState) => DeviceState): void
  /** Stores what is in memory if the disk does not have it yet. */
  flush(): Promise<void>
  /** False: the disk has none yet, or not what is in memory. */
  isStored(): boolean
  /** What was wrong with the file when it was read; null: nothing. */
  problem: string | null
}

/**
 * Loads the state, or begins one. An id fixed by the owner wins over the stored one, whose token is then no good.
 * Nothing is written before the first change or `flush`.
 */
export async function openStateStore(options: { file: StateFile; nodeId: string | null }): Promise<StateStore> {
  const { file, nodeId } = options
  const { state: stored, problem } = await file.load()
  const isOurs = stored !== null && (nodeId === null || stored.nodeId === nodeId)
  let state = isOurs ? stored : createState({ nodeId })
  let isStored = isOurs && problem === null
  let queue: Promise<unknown> = Promise.resolve()

  const change = (how: (state: DeviceState) => DeviceState): Promise<void> => {
    const changed = queue.then(async () => {
      const next = how(state)
      if (next === state && isStored) return
      await file.save(next)
      state = next
      isStored = true
    })
    queue = changed.catch(() => undefined)
    return changed
  }
  return {
    current: () => state,
    change,
    changeInMemory: (how) => {
      state = how(state)
      isStored = false
    },
    flush: () => change((state) => state),
    isStored: () => isStored,
    problem,
  }
}

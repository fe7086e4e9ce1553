/** Lets a few in at a time; the others wait, first come first served. It counts for this process only. */
export interface Semaphore {
  /** Resolves when there is room, to what leaves again; leaving twice counts once. */
  enter(): Promise<() => void>
  /** How many wait for room. */
  waiting(): number
}

export function createSemaphore(limit: number): Semaphore {
  let inside = 0
  const queue: (() => void)[] = []
  return {
    async enter() {
      if (inside >= limit) await new Promise<void>((resolve) => queue.push(resolve))
      else inside += 1
      let isIn = true
      return () => {
        if (!isIn) return
        isIn = false
        const next = queue.shift()
        if (next === undefined) inside -= 1
        else next()
      }
    },
    waiting: () => queue.length,
  }
}

import { FreeholdError } from '@freehold/contracts'

/** Lets so many in at once, in the order they came, and so many wait. */
export interface Queue {
  readonly running: number
  readonly waiting: number
  /** Throws `unavailable`, with the seconds to come back after, where even the places to wait are taken. */
  requireRoom(): void
  /**
   * Resolves when it is one's turn, with what gives the place back; rejects with the signal's reason. `waits` hears how many are
   * before, whenever that changes.
   */
  enter(options: { signal: AbortSignal; waits: (before: number) => void }): Promise<() => void>
}

const comeBackSeconds = 30

export function createQueue({ maxRunning, maxWaiting }: { maxRunning: number; maxWaiting: number }): Queue {
  let running = 0
  const line: { admit: () => void; waits: (before: number) => void }[] = []
  const tellAll = () => {
    for (const [index, { waits }] of line.entries()) waits(index + running)
  }
  const leave = () => {
    running -= 1
    const next = line.shift()
    if (next !== undefined) {
      running += 1
      next.admit()
    }
    tellAll()
  }
  const once = () => {
    let left = false
    return () => {
      if (!left) leave()
      left = true
    }
  }
  const requireRoom = () => {
    if (running < maxRunning || line.length < maxWaiting) return
    throw new FreeholdError(
      'unavailable',
      `This build worker is busy: ${running} jobs run and ${line.length} wait. Try again later, or ask another worker.`,
      { retryAfterSeconds: comeBackSeconds },
    )
  }
  return {
    get running() {
      return running
    },
    get waiting() {
      return line.length
    },
    requireRoom,
    async enter({ signal, waits }) {
      signal.throwIfAborted()
      if (running < maxRunning) {
        running += 1
        return once()
      }
      requireRoom()
      return new Promise((resolve, reject) => {
        const cancel = () => {
          const index = line.indexOf(place)
          if (index === -1) return
          line.splice(index, 1)
          reject(signal.reason)
          tellAll()
        }
        const admit = () => {
          signal.removeEventListener('abort', cancel)
          resolve(once())
        }
        const place = { admit, waits }
        line.push(place)
        signal.addEventListener('abort', cancel, { once: true })
        waits(line.length - 1 + running)
      })
    },
  }
}

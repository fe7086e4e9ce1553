/**
 * Room for the last reports of very many devices: a few large buffers cut into equal steps, used again and again. A
 * buffer or a text a device would cost as much again in objects, and a garbage collection each minute. A report takes as
 * many steps as it needs, wherever they are free, so that reports which grow leave nothing behind that fits nobody.
 */
export interface Room {
  /** The first of its steps, over all slabs; -1: there is none. */
  place: number
  /** How long it is. */
  bytes: number
}

const stepBytes = 256
const slabSteps = 4096
const none = -1

export function createRooms(options: { mostBytes: number }) {
  const mostSteps = Math.floor(options.mostBytes / stepBytes)
  const slabs: Buffer[] = []
  /** By step: the one after it, of a report or of those that are free. */
  let following = new Int32Array(slabSteps)
  let firstFree = none
  let held = 0

  function addSlab(): void {
    const from = slabs.length * slabSteps
    slabs.push(Buffer.allocUnsafeSlow(slabSteps * stepBytes))
    if (following.length < from + slabSteps) {
      const longer = new Int32Array(following.length * 2)
      longer.set(following)
      following = longer
    }
    for (let step = from; step < from + slabSteps; step += 1) following[step] = step + 1
    following[from + slabSteps - 1] = firstFree
    firstFree = from
  }

  function take(): number {
    if (firstFree === none) addSlab()
    const step = firstFree
    firstFree = after(step)
    held += 1
    return step
  }

  const after = (step: number): number => following[step] ?? none
  const slabOf = (step: number): Buffer => slabs[Math.floor(step / slabSteps)] ?? Buffer.alloc(0)
  const startOf = (step: number): number => (step % slabSteps) * stepBytes

  function release(room: Room): void {
    const steps = room.place === none ? 0 : stepsOf(room.bytes)
    for (let given = 0, step = room.place; given < steps; given += 1) {
      const next = after(step)
      following[step] = firstFree
      firstFree = step
      step = next
    }
    held -= steps
    room.place = none
    room.bytes = 0
  }

  /** Chains free steps together, and answers the first. */
  function chain(steps: number): number {
    const first = take()
    for (let given = 1, step = first; given < steps; given += 1) {
      const next = take()
      following[step] = next
      step = next
    }
    return first
  }

  return {
    /** Puts bytes in place of those before; false where there is no more room for anybody, and then there is nothing. */
    keep(room: Room, bytes: Buffer): boolean {
      const steps = stepsOf(bytes.length)
      if (room.place === none || stepsOf(room.bytes) !== steps) {
        release(room)
        if (held + steps > mostSteps) return false
        room.place = chain(steps)
      }
      room.bytes = bytes.length
      for (let from = 0, step = room.place; from < bytes.length; from += stepBytes) {
        bytes.copy(slabOf(step), startOf(step), from, from + stepBytes)
        step = after(step)
      }
      return true
    },
    release,
    /** What was kept, as UTF-8; null for nothing. */
    textOf(room: Room): string | null {
      if (room.place === none) return null
      const bytes = Buffer.allocUnsafe(room.bytes)
      for (let from = 0, step = room.place; from < bytes.length; from += stepBytes) {
        const start = startOf(step)
        slabOf(step).copy(bytes, from, start, start + Math.min(stepBytes, bytes.length - from))
        step = after(step)
      }
      return bytes.toString('utf8')
    },
    heldBytes: () => held * stepBytes,
    /** All that was ever taken from the system. */
    roomBytes: () => slabs.length * slabSteps * stepBytes,
  }
}

function stepsOf(bytes: number): number {
  return Math.max(1, Math.ceil(bytes / stepBytes))
}

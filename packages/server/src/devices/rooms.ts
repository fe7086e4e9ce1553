/**
 * Room for the last reports of very many devices: a few large buffers cut into pieces of whole steps, used again and
 * again. A buffer or a text a device would cost as much again in objects, and a garbage collection each minute.
 */
export interface Room {
  /** Where it lies, in steps over all slabs; -1: there is none. */
  place: number
  steps: number
  /** How much of it is used. */
  bytes: number
}

const stepBytes = 256
const slabSteps = 16_384

export function createRooms(options: { mostBytes: number }) {
  const slabs: Buffer[] = []
  const free = new Map<number, number[]>()
  /** The next step that was never given away, in the newest slab. */
  let next = slabSteps
  let heldSteps = 0

  function take(steps: number): number {
    const used = free.get(steps)?.pop()
    if (used !== undefined) return used
    if (next + steps > slabSteps) {
      if (next < slabSteps) give((slabs.length - 1) * slabSteps + next, slabSteps - next)
      slabs.push(Buffer.allocUnsafeSlow(slabSteps * stepBytes))
      next = 0
    }
    const place = (slabs.length - 1) * slabSteps + next
    next += steps
    return place
  }

  function give(place: number, steps: number): void {
    const places = free.get(steps)
    if (places === undefined) free.set(steps, [place])
    else places.push(place)
  }

  function view({ place, bytes }: Room): Buffer {
    const start = (place % slabSteps) * stepBytes
    return (slabs[Math.floor(place / slabSteps)] ?? Buffer.alloc(0)).subarray(start, start + bytes)
  }

  function release(room: Room): void {
    if (room.place < 0) return
    give(room.place, room.steps)
    heldSteps -= room.steps
    room.place = -1
    room.steps = 0
    room.bytes = 0
  }

  return {
    /** Puts bytes in place of those before; false where there is no more room for anybody, and then there is nothing. */
    keep(room: Room, bytes: Buffer): boolean {
      const steps = Math.max(1, Math.ceil(bytes.length / stepBytes))
      if (room.steps !== steps) {
        release(room)
        if ((heldSteps + steps) * stepBytes > options.mostBytes || steps > slabSteps) return false
        room.place = take(steps)
        room.steps = steps
        heldSteps += steps
      }
      room.bytes = bytes.length
      bytes.copy(view(room))
      return true
    },
    release,
    /** What was kept, as UTF-8; null for nothing. */
    textOf: (room: Room): string | null => (room.place < 0 ? null : view(room).toString('utf8')),
    heldBytes: () => heldSteps * stepBytes,
  }
}

/**
 * Keeps one device from speaking as if it were thousands: so many calls at once (`burst`), then one in each spacing. Default:
 * twenty heartbeats, then two a second, which is twice as often as the shortest interval that a device may keep.
 *
 * Nothing is held of a device that speaks less often than that: who spoke is remembered for one spacing, and only who
 * speaks twice in it is counted (generic cell rate algorithm, ITU-T I.371).
 */
export function createHaste(options: { now: () => number; burst?: number; spacingMs?: number }) {
  const { burst = 20, spacingMs = 500 } = options
  let turn = 0
  let spoke = new Set<string>()
  /** By device: when it would have spoken, at the pace it may keep. */
  const ahead = new Map<string, number>()

  function forget(nowMs: number): void {
    const current = Math.floor(nowMs / spacingMs)
    if (current === turn) return
    turn = current
    if (spoke.size > 0) spoke = new Set()
    for (const [deviceId, dueMs] of ahead) if (dueMs <= nowMs) ahead.delete(deviceId)
  }

  return {
    /** Seconds for which this device is to be sent away; 0: it is welcome. */
    take(deviceId: string): number {
      const nowMs = options.now()
      forget(nowMs)
      const dueMs = ahead.get(deviceId)
      if (dueMs === undefined && !spoke.has(deviceId)) {
        spoke.add(deviceId)
        return 0
      }
      // A clock that was set back must not keep a device waiting longer than its own haste did.
      const heldMs = Math.min(Math.max((dueMs ?? nowMs) - nowMs, 0), burst * spacingMs)
      const tooMuchMs = heldMs + spacingMs - burst * spacingMs
      ahead.set(deviceId, nowMs + heldMs + (tooMuchMs > 0 ? 0 : spacingMs))
      return Math.max(0, Math.ceil(tooMuchMs / 1000))
    },
    /** How many devices are counted now. */
    size: () => ahead.size + spoke.size,
  }
}

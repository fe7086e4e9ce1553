/** So many a minute and no more; what was not taken does not add up. */
export function createPace(options: { perMinute: number; now: () => number }) {
  let minute = 0
  let taken = 0
  return {
    /** False where this minute's share is used up. */
    take(): boolean {
      const current = Math.floor(options.now() / 60_000)
      if (current !== minute) taken = 0
      minute = current
      if (taken >= options.perMinute) return false
      taken += 1
      return true
    },
  }
}

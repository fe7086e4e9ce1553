/** So many a minute and no more; what was not taken does not add up. */
export function createPace(options: { perMinute: number; now: () => number }) {
  let minute = 0
  let taken = 0
  const turn = () => {
    const current = Math.floor(options.now() / 60_000)
    if (current === minute) return
    minute = current
    taken = 0
  }
  return {
    /** False where this minute's share is used up. */
    take(): boolean {
      turn()
      if (taken >= options.perMinute) return false
      taken += 1
      return true
    },
    isSpent(): boolean {
      turn()
      return taken >= options.perMinute
    },
  }
}

import { useQueryClient } from '@tanstack/react-query'
import { useEffect } from 'react'
import { whileShown } from '../../app/while-shown.ts'

const everyMs = 15_000

/** Heartbeats are no changes, so the feed does not tell of them: what shows them is read again while it is looked at. */
export function useHeartbeatRefresh(queryKey: readonly unknown[]): void {
  const cache = useQueryClient()
  const key = JSON.stringify(queryKey)
  useEffect(
    () =>
      whileShown((signal) => {
        const timer = setInterval(
          () => void cache.invalidateQueries({ queryKey: JSON.parse(key) as unknown[] }),
          everyMs,
        )
        signal.addEventListener('abort', () => clearInterval(timer))
      }),
    [cache, key],
  )
}

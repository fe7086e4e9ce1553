import { useSyncExternalStore } from 'react'
import { duration, relativeTime } from './format.ts'

const tickMs = 5_000

/** One clock for everything that shows an age, so that all ages turn over together; rounded down to its tick. */
function subscribe(onTick: () => void): () => void {
  const timer = setInterval(onTick, tickMs)
  return () => clearInterval(timer)
}

export function useNowMs(): number {
  return useSyncExternalStore(subscribe, () => Math.ceil(Date.now() / tickMs) * tickMs)
}

/** How long ago, with the exact time on hover and for machines. */
export function Ago({ at }: { at: string }) {
  const nowMs = useNowMs()
  return (
    <time
      dateTime={at}
      title={new Date(at).toLocaleString(undefined, { dateStyle: 'full', timeStyle: 'long' })}
      className="whitespace-nowrap"
    >
      {relativeTime(at, nowMs - tickMs / 2)}
    </time>
  )
}

/** From one time to another, or until now. */
export function Took({ from, until }: { from: string; until: string | null }) {
  const nowMs = useNowMs()
  return <>{duration((until === null ? nowMs : Date.parse(until)) - Date.parse(from))}</>
}

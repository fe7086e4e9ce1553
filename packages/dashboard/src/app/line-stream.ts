import { useEffect, useRef, useState } from 'react'
import { whileShown } from './while-shown.ts'

/** Older lines are dropped: the page is for looking, the log itself is kept elsewhere. */
const maxLines = 2_000
const drawEveryMs = 100

export interface NumberedLine<Line> {
  number: number
  line: Line
}
type StreamState = 'connecting' | 'open' | 'ended' | 'failed'

/**
 * Follows a stream of lines while it is looked at; opened anew it begins anew. Paused, lines are kept and counted but
 * not shown. `open` must stay the same function as long as the stream is the same.
 */
export function useLineStream<Line>(open: (signal: AbortSignal) => AsyncIterable<Line>) {
  const buffer = useRef<NumberedLine<Line>[]>([])
  const lastNumber = useRef(0)
  const [shown, setShown] = useState<{ lines: readonly NumberedLine<Line>[]; waiting: number }>(nothing)
  const [state, setState] = useState<StreamState>('connecting')
  const [error, setError] = useState<unknown>(null)
  const [isPaused, setPaused] = useState(false)
  const [attempt, setAttempt] = useState(0)
  const pausedRef = useRef(isPaused)
  pausedRef.current = isPaused

  const draw = () =>
    setShown((before) => {
      if (!pausedRef.current) return { lines: [...buffer.current], waiting: 0 }
      const last = before.lines.at(-1)?.number ?? 0
      return { ...before, waiting: buffer.current.filter(({ number }) => number > last).length }
    })

  // biome-ignore lint/correctness/useExhaustiveDependencies: `attempt` starts the stream anew; `draw` reads refs alone.
  useEffect(() => {
    let dirty = false
    const timer = setInterval(() => {
      if (dirty) draw()
      dirty = false
    }, drawEveryMs)
    const onLine = (line: Line) => {
      lastNumber.current += 1
      buffer.current.push({ number: lastNumber.current, line })
      if (buffer.current.length > maxLines) buffer.current.splice(0, buffer.current.length - maxLines)
      dirty = true
      setState('open')
    }
    const stop = whileShown((signal) => {
      buffer.current = []
      setState('connecting')
      setError(null)
      readAll(open(signal), onLine)
        .then(() => setState('ended'))
        .catch((thrown: unknown) => {
          if (signal.aborted) return
          setState('failed')
          setError(thrown)
        })
    })
    return () => {
      stop()
      clearInterval(timer)
    }
  }, [open, attempt])

  return {
    lines: shown.lines,
    waiting: shown.waiting,
    error,
    state: isPaused && state === 'open' ? ('paused' as const) : state === 'open' ? ('following' as const) : state,
    toggle: () => {
      pausedRef.current = !isPaused
      setPaused(!isPaused)
      draw()
    },
    clear: () => {
      buffer.current = []
      setShown(nothing)
    },
    restart: () => setAttempt(attempt + 1),
  }
}

const nothing = { lines: [], waiting: 0 }

async function readAll<Line>(lines: AsyncIterable<Line>, onLine: (line: Line) => void): Promise<void> {
  for await (const line of lines) onLine(line)
}

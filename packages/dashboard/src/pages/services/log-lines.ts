import type { Client } from '@freehold/client'
import type { LogLine } from '@freehold/contracts'
import { useEffect, useRef, useState } from 'react'
import { useClient } from '../../app/client.tsx'
import { whileShown } from '../../app/while-shown.ts'

/** Older lines are dropped: the page is for looking, the log itself is on the cluster. */
const maxLines = 2_000
const drawEveryMs = 100
const tail = 200

export interface NumberedLine {
  number: number
  line: LogLine
}
type StreamState = 'connecting' | 'open' | 'ended' | 'failed'

/** Follows the log of a service while it is looked at. Paused, lines are kept and counted but not shown. */
export function useLogLines(serviceId: string) {
  const client = useClient()
  const buffer = useRef<NumberedLine[]>([])
  const lastNumber = useRef(0)
  const [shown, setShown] = useState<{ lines: readonly NumberedLine[]; waiting: number }>({ lines: [], waiting: 0 })
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
    const onLine = (line: LogLine) => {
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
      readLog({ client, serviceId, signal, onLine })
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
  }, [client, serviceId, attempt])

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
      setShown({ lines: [], waiting: 0 })
    },
    restart: () => setAttempt(attempt + 1),
  }
}

async function readLog(options: {
  client: Client
  serviceId: string
  signal: AbortSignal
  onLine: (line: LogLine) => void
}): Promise<void> {
  const { client, serviceId, signal } = options
  const lines = client.services.logs({ params: { id: serviceId }, query: { tail, follow: true }, signal })
  for await (const line of lines) options.onLine(line)
}

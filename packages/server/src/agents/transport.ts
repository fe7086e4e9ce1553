/** One connection to an agent, whatever carries it: a WebSocket, or the network of a simulator. */
export interface LinkTransport {
  /** Queues a text frame; after `close` it does nothing. */
  send(text: string): void
  /** Ends the connection; `onClose` listeners hear of it. Repeating it does nothing. */
  close(reason: string): void
  onMessage(listener: (text: string) => void): void
  onClose(listener: () => void): void
  /** Bytes queued and not yet taken by the network. */
  queuedBytes(): number
}

/**
 * Two joined ends in one process: what one sends the other hears, in order, in a later turn; what was sent before the
 * end still arrives. For tests and simulators.
 */
export function createMemoryTransports(): { server: LinkTransport; agent: LinkTransport } {
  const ends = [createEnd(), createEnd()] as const
  let open = true
  const close = (): void => {
    if (!open) return
    open = false
    setImmediate(() => {
      for (const end of ends) for (const listener of end.closed) listener()
    })
  }
  const transport = (own: End, other: End): LinkTransport => ({
    send: (text) => {
      if (!open) return
      setImmediate(() => {
        for (const listener of other.heard) listener(text)
      })
    },
    close,
    onMessage: (listener) => own.heard.push(listener),
    onClose: (listener) => own.closed.push(listener),
    queuedBytes: () => 0,
  })
  return { server: transport(ends[0], ends[1]), agent: transport(ends[1], ends[0]) }
}

interface End {
  heard: ((text: string) => void)[]
  closed: (() => void)[]
}

function createEnd(): End {
  return { heard: [], closed: [] }
}

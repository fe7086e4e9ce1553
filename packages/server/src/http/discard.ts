import type { IncomingMessage } from 'node:http'

/** What is read of a body nobody wants any more. */
const limitBytes = 64 * 1024 * 1024
const limitMs = 10_000

/**
 * Reads what is still to come of a body and throws it away, for so long and so much at most; then the connection ends.
 * An answer given before the body's end needs it: closing at once would reset the connection, and the client would see
 * that instead of the answer.
 */
export async function discardBody(request: IncomingMessage): Promise<void> {
  if (request.complete || request.destroyed) return
  let leftBytes = limitBytes
  await new Promise<void>((resolve) => {
    const giveUp = () => {
      request.destroy()
      resolve()
    }
    const timer = setTimeout(giveUp, limitMs)
    timer.unref()
    const done = () => {
      clearTimeout(timer)
      resolve()
    }
    request.once('end', done)
    request.once('close', done)
    request.on('data', (chunk: Buffer) => {
      leftBytes -= chunk.length
      if (leftBytes < 0) giveUp()
    })
    request.resume()
  })
}

import type { IncomingMessage } from 'node:http'
import { FreeholdError } from '@freehold/contracts'

/** Reads a body of at most `limitBytes`. Throws `body-too-large`; what comes after the limit is not read. */
export async function readBody(request: IncomingMessage, limitBytes: number): Promise<Buffer> {
  const tooLarge = () => new FreeholdError('body-too-large', `The request is larger than ${limitBytes} bytes.`)
  if (Number(request.headers['content-length'] ?? 0) > limitBytes) throw tooLarge()
  const chunks: Buffer[] = []
  let sizeBytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length
    if (sizeBytes > limitBytes) throw tooLarge()
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** Undefined where the text is not JSON. */
export function parseJson(text: string): { value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) }
  } catch {
    // What the parser says repeats the text, which may hold a token.
    return undefined
  }
}

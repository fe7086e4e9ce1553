import type { IncomingMessage } from 'node:http'
import { FreeholdError } from '@freehold/contracts'

const bodyTimeoutMs = 30_000
const jsonTypes = new Set(['application/json', 'application/merge-patch+json'])

/**
 * Reads and parses a JSON body; undefined for an empty one. Throws `body-too-large` (without reading the rest),
 * `unsupported-media-type`, `invalid-json`, and `timeout` for a body that trickles.
 */
export async function readJsonBody(request: IncomingMessage, limitBytes: number): Promise<unknown> {
  const declared = Number(request.headers['content-length'] ?? Number.NaN)
  if (declared > limitBytes) throw tooLarge(limitBytes)
  if (declared === 0 || (Number.isNaN(declared) && request.headers['transfer-encoding'] === undefined)) return undefined
  const type = (request.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? ''
  if (!jsonTypes.has(type)) {
    throw new FreeholdError(
      'unsupported-media-type',
      type === '' ? 'The body has no content type.' : `The content type ${type.slice(0, 100)} is not accepted here.`,
    )
  }
  const bytes = await readBody(request, limitBytes)
  if (bytes.length === 0) return undefined
  try {
    const text = utf8.decode(bytes)
    return mayHoldBrokenText.test(text) ? JSON.parse(text, refuseBrokenText) : JSON.parse(text)
  } catch (cause) {
    if (cause instanceof FreeholdError) throw cause
    throw new FreeholdError('invalid-json', 'The body is not valid JSON in UTF-8.', { cause })
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true })
const mayHoldBrokenText = /\\u(0000|d[89a-f])/i

/** No environment, no file name and no PostgreSQL takes NUL; half a surrogate pair (RFC 8259 §8.2) is no text at all. */
function refuseBrokenText(name: string, value: unknown): unknown {
  for (const text of [name, value]) {
    if (typeof text === 'string' && (text.includes('\0') || !text.isWellFormed())) {
      throw new FreeholdError('invalid-input', 'A text of the request holds a NUL character or half a surrogate pair.')
    }
  }
  return value
}

function readBody(request: IncomingMessage, limitBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let sizeBytes = 0
    const timer = setTimeout(() => {
      finish(new FreeholdError('timeout', `The body did not arrive within ${bodyTimeoutMs / 1000} seconds.`))
    }, bodyTimeoutMs)
    const onData = (chunk: Buffer) => {
      sizeBytes += chunk.length
      if (sizeBytes > limitBytes) finish(tooLarge(limitBytes))
      else chunks.push(chunk)
    }
    const onEnd = () => finish()
    const onClose = () => finish(new FreeholdError('invalid-json', 'The connection closed before the whole body came.'))
    const finish = (error?: FreeholdError) => {
      clearTimeout(timer)
      request.off('data', onData).off('end', onEnd).off('close', onClose).off('error', onClose)
      if (error === undefined) return resolve(Buffer.concat(chunks))
      request.on('error', ignore).pause()
      reject(error)
    }
    request.on('data', onData).on('end', onEnd).on('close', onClose).on('error', onClose)
  })
}

/** A request that was given up on may still fail later; that is of no interest any more. */
function ignore(): void {}

function tooLarge(limitBytes: number): FreeholdError {
  return new FreeholdError('body-too-large', `The body is larger than the ${limitBytes} bytes this route accepts.`)
}

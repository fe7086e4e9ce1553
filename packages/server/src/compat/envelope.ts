import { FreeholdError } from '@freehold/contracts'
import { z } from 'zod'

/** What a client posts. Whatever else it holds is sent back as it came, except the fields that never travel. */
export const envelopeSchema = z.looseObject({
  method: z.string().max(200),
  request: z.record(z.string(), z.unknown()),
  response: z.unknown().optional(),
  correlation: z.looseObject({ id: z.string().max(200), phase: z.enum(['request', 'response']) }),
})
export type Envelope = z.output<typeof envelopeSchema>

export type Outcome = { response: unknown } | { error: { text: string; data: unknown } }

export const unknownMethod = 'There is no available method for this call on the server side'

/** The same envelope, its phase turned, with a response or an error. */
export function answered(envelope: Envelope, outcome: Outcome): Record<string, unknown> {
  const { localData: _local, serverData: _server, error: _error, retry: _retry, ...sent } = envelope
  return {
    ...sent,
    localData: null,
    response: 'response' in outcome ? outcome.response : null,
    ...('error' in outcome ? { error: outcome.error } : {}),
    correlation: { ...envelope.correlation, phase: 'response' },
  }
}

/** How a failure reads in an envelope; nothing of an unknown one leaves the process. */
export function errorOf(error: unknown, requestId: string): { text: string; data: unknown } {
  if (error instanceof FreeholdError && error.code !== 'internal') {
    return { text: error.message, data: { code: error.code, details: error.details } }
  }
  return { text: 'The server failed; its log has the request id.', data: { code: 'internal', requestId } }
}

/** Why something of the signed channel was not trusted; `docs/device-agent.md` explains each. */
export const refusalCodes = [
  'unsigned',
  'bad-signature',
  'other-device',
  'older-assignment',
  'assignment-expired',
  'metadata-expired',
  'metadata-rollback',
  'metadata-invalid',
  'manifest-mismatch',
  'not-for-this-type',
  'unreachable',
] as const
export type RefusalCode = (typeof refusalCodes)[number]

/** `counter`: of the assignment it is about; null: it tells none. */
export interface Refusal {
  code: RefusalCode
  message: string
  counter: number | null
}

export class Refused extends Error {
  override readonly name = 'Refused'
  readonly code: RefusalCode

  constructor(code: RefusalCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.code = code
  }
}

/** These may pass without another assignment: the network came back, or the control plane finished publishing. */
export function mayPass(code: RefusalCode): boolean {
  return !['unsigned', 'other-device', 'older-assignment', 'assignment-expired'].includes(code)
}

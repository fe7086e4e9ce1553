/** Addresses and bounds of the device protocol, apart from its schemas, so that a device need not load a schema library. */

/** `POST`, answered by `deviceRegisterAnswerSchema`. */
export const deviceRegisterPath = '/baseos/v1/nodes/register'
/** `POST`, answered by `deviceHeartbeatAnswerSchema`. */
export const deviceHeartbeatPath = '/baseos/v1/nodes/heartbeat'

/** Version of this protocol; a server answers every version it knows and ignores fields it does not. */
export const deviceProtocol = 1

export const deviceLimits = {
  /** Largest body of a request; larger ones are answered 413 `body-too-large`, unread. */
  requestBytes: 64 * 1024,
  /** Largest body of an answer; a device reads no further and counts it as a failure. */
  answerBytes: 1024 * 1024,
  /** A device keeps to these whatever it is told. */
  intervalMinMs: 1_000,
  intervalMaxMs: 24 * 60 * 60 * 1000,
  /** A device waits no longer than this, whatever `Retry-After` or `retryAfterSeconds` say. */
  retryAfterMaxSeconds: 24 * 60 * 60,
  tokenCharacters: 512,
  nodeIdCharacters: 128,
} as const

/** `nodeId`: a UUID that the device made, or what its owner fixed by `BASEOS_NODE_ID`. */
export const deviceNodeIdPattern = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/
/** What may travel behind `Bearer `: printable, no spaces (RFC 6750 §2.1). */
export const deviceTokenPattern = /^[A-Za-z0-9._~+/=-]{8,512}$/

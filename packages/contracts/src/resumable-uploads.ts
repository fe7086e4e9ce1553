/**
 * Large files on their way to the control plane, by HTTP that survives a broken connection: the append operation of
 * "Resumable Uploads for HTTP" (draft-ietf-httpbis-resumable-upload), to an upload resource whose address is known.
 *
 * - `HEAD` answers 204 with `Upload-Offset`, the bytes that are kept, and `Upload-Complete` (`?0`, `?1`; RFC 9651 §3.3.6).
 * - `PATCH` with `Content-Type: application/partial-upload` and the same `Upload-Offset` appends its body; 204 with the new
 *   offset. Another offset is answered 409 with the right one. What arrived of a request that broke off is kept.
 * - The last `PATCH` says `Upload-Complete: ?1` and carries `Repr-Digest: sha-256=:…:` of the whole (RFC 9530 §3); it may
 *   have no body. With another digest the upload is dropped, 400, and begins at 0.
 * - `DELETE` drops it.
 */
export const uploadOffsetHeader = 'upload-offset'
export const uploadCompleteHeader = 'upload-complete'
export const reprDigestHeader = 'repr-digest'
export const partialUploadType = 'application/partial-upload'

/** `Repr-Digest` of a SHA-256 in hexadecimal. */
export function reprDigestOf(sha256: string): string {
  const bytes = (sha256.match(/../g) ?? []).map((pair) => String.fromCharCode(Number.parseInt(pair, 16))).join('')
  return `sha-256=:${btoa(bytes)}:`
}

/** The SHA-256 of a `Repr-Digest`, in hexadecimal; undefined where it names none. */
export function sha256OfReprDigest(header: string | undefined): string | undefined {
  const base64 = /(?:^|,)\s*sha-256=:([A-Za-z0-9+/]{43}=):/.exec(header ?? '')?.[1]
  if (base64 === undefined) return undefined
  return [...atob(base64)].map((character) => character.charCodeAt(0).toString(16).padStart(2, '0')).join('')
}

import { type Digest, type DigestAlgorithm, isDigestAlgorithm } from '../digest.ts'
import { parseUploadId, type UploadId } from '../upload-id.ts'

/**
 * How blobs lie in a bucket, all below one prefix:
 *
 *   owner                               which installation the blobs belong to
 *   blobs/<algorithm>/<hh>/<hex>        a finished blob, complete and verified
 *   uploads/<uuid>/begun-<algorithm>    an upload that may be added to; empty, made first and removed first
 *   uploads/<uuid>/parts-<id>           the multipart upload that holds its full parts; empty
 *   uploads/<uuid>/tail-<n>             its bytes after n full parts
 *   uploads/<uuid>/data                 what the multipart upload becomes, for the moment before it is a blob
 *
 * What an upload holds is its full parts (as the bucket lists them) and the tail after exactly that many; any other tail
 * is a leftover. Parts only ever become more, so a crash between two writes never takes back what was acknowledged.
 * Keys are made here and nowhere else, from parsed values only.
 */
export interface Keys {
  owner: string
  blobs: string
  uploads: string
  blob(digest: Digest): string
  upload(id: UploadId): UploadKeys
  /** The upload a key below `uploads` belongs to. */
  uploadOf(key: string): UploadId | undefined
}

export interface UploadKeys {
  folder: string
  data: string
  begun(algorithm: DigestAlgorithm): string
  parts(multipartId: string): string
  tail(parts: number): string
}

/** What one key of an upload says. */
export type UploadKey =
  | { kind: 'begun'; algorithm: DigestAlgorithm }
  | { kind: 'parts'; multipartId: string }
  | { kind: 'tail'; parts: number }
  | { kind: 'data' }

export function keysOf(prefix: string): Keys {
  const blobs = `${prefix}blobs/`
  const uploads = `${prefix}uploads/`
  return {
    owner: `${prefix}owner`,
    blobs,
    uploads,
    blob: ({ algorithm, hex }) => `${blobs}${algorithm}/${hex.slice(0, 2)}/${hex}`,
    upload(id) {
      const folder = `${uploads}${id}/`
      return {
        folder,
        data: `${folder}data`,
        begun: (algorithm) => `${folder}begun-${algorithm}`,
        parts: (multipartId) => `${folder}parts-${Buffer.from(multipartId).toString('base64url')}`,
        tail: (parts) => `${folder}tail-${parts}`,
      }
    },
    uploadOf: (key) =>
      key.startsWith(uploads) ? parseUploadId(key.slice(uploads.length, uploads.length + 36)) : undefined,
  }
}

/** Reads the name of a key below an upload's folder; undefined for what is none of ours. */
export function parseUploadKey(name: string): UploadKey | undefined {
  if (name === 'data') return { kind: 'data' }
  const at = name.indexOf('-')
  const rest = name.slice(at + 1)
  switch (name.slice(0, at)) {
    case 'begun':
      return isDigestAlgorithm(rest) ? { kind: 'begun', algorithm: rest } : undefined
    case 'parts':
      return /^[A-Za-z0-9_-]+$/.test(rest)
        ? { kind: 'parts', multipartId: Buffer.from(rest, 'base64url').toString() }
        : undefined
    case 'tail':
      return /^\d{1,5}$/.test(rest) ? { kind: 'tail', parts: Number(rest) } : undefined
    default:
      return undefined
  }
}

import { uploadUnknown } from './errors.ts'

declare const uploadIdBrand: unique symbol
/** A UUID that was parsed, so that it cannot lead anywhere else. */
export type UploadId = string & { [uploadIdBrand]: true }

const uploadIdPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

export function parseUploadId(text: string): UploadId | undefined {
  return uploadIdPattern.test(text) ? (text as UploadId) : undefined
}

/** Like `parseUploadId`; throws `upload-unknown`. */
export function requireUploadId(text: string): UploadId {
  const id = parseUploadId(text)
  if (id === undefined) throw uploadUnknown(text)
  return id
}

import type { ListMultipartUploadsOutput } from '@aws-sdk/client-s3'
import { type Connection, contentType, plainEtag } from './connection.ts'
import { isGoneMultipart } from './errors.ts'

/** Of one multipart upload; more the S3 protocol does not take. */
export const partLimit = 10_000

export interface Part {
  number: number
  etag: string
  sizeBytes: number
  modifiedAtMs: number
}

/** A multipart upload of one key: invisible until it is completed. */
export interface Multipart {
  key: string
  id: string
}

export async function beginMultipart(connection: Connection, key: string): Promise<Multipart> {
  const input = { Bucket: connection.bucket, Key: key, ContentType: contentType }
  const { UploadId } = await connection.call((s3, options) => s3.createMultipartUpload(input, options))
  return { key, id: UploadId ?? '' }
}

/** Stores one part, in place of one of the same number; answers its etag. */
export async function sendPart(
  connection: Connection,
  { key, id }: Multipart,
  { number, body, signal }: { number: number; body: Buffer; signal?: AbortSignal },
): Promise<string> {
  const input = {
    Bucket: connection.bucket,
    Key: key,
    UploadId: id,
    PartNumber: number,
    Body: body,
    ContentLength: body.length,
  }
  const { ETag } = await connection.call((s3, options) => s3.uploadPart(input, options), {
    limitMs: connection.limits.transferMs,
    ...(signal === undefined ? {} : { signal }),
  })
  return plainEtag(ETag)
}

/** Makes a part of an object of the same bucket, or of a range of it, if it is still the one of `etag`. */
export async function copyPart(
  connection: Connection,
  { key, id }: Multipart,
  part: { number: number; from: string; etag: string; range?: { start: number; end: number } },
): Promise<string> {
  const input = {
    Bucket: connection.bucket,
    Key: key,
    UploadId: id,
    PartNumber: part.number,
    CopySource: connection.source(part.from),
    CopySourceIfMatch: `"${part.etag}"`,
    ...(part.range === undefined ? {} : { CopySourceRange: `bytes=${part.range.start}-${part.range.end}` }),
  }
  const { CopyPartResult } = await connection.call((s3, options) => s3.uploadPartCopy(input, options), {
    limitMs: connection.limits.copyMs,
  })
  return plainEtag(CopyPartResult?.ETag)
}

/** Every part, in order of its number. Throws `NoSuchUpload`. */
export async function listParts(connection: Connection, { key, id }: Multipart): Promise<Part[]> {
  const parts: Part[] = []
  let after: string | undefined
  do {
    const input = {
      Bucket: connection.bucket,
      Key: key,
      UploadId: id,
      ...(after === undefined ? {} : { PartNumberMarker: after }),
    }
    const page = await connection.call((s3, options) => s3.listParts(input, options))
    for (const { PartNumber, ETag, Size, LastModified } of page.Parts ?? []) {
      parts.push({
        number: PartNumber ?? 0,
        etag: plainEtag(ETag),
        sizeBytes: Size ?? 0,
        modifiedAtMs: LastModified?.getTime() ?? 0,
      })
    }
    after = page.IsTruncated === true ? page.NextPartNumberMarker : undefined
  } while (after !== undefined && parts.length < partLimit)
  return parts
}

/**
 * Joins the parts with these etags, from number 1 on. Where the answer to an attempt was lost, the next one finds no
 * such upload: the object is there then, and that is a success too.
 */
export async function completeMultipart(
  connection: Connection,
  { key, id }: Multipart,
  etags: readonly string[],
): Promise<void> {
  const parts = etags.map((etag, index) => ({ PartNumber: index + 1, ETag: `"${etag}"` }))
  const input = { Bucket: connection.bucket, Key: key, UploadId: id, MultipartUpload: { Parts: parts } }
  try {
    await connection.call((s3, options) => s3.completeMultipartUpload(input, options), {
      limitMs: connection.limits.copyMs,
    })
  } catch (error) {
    if (!isGoneMultipart(error) || (await connection.head(key)) === undefined) throw error
  }
}

/** Drops the parts; fine where the upload is gone already. */
export async function abortMultipart(connection: Connection, { key, id }: Multipart): Promise<void> {
  const input = { Bucket: connection.bucket, Key: key, UploadId: id }
  try {
    await connection.call((s3, options) => s3.abortMultipartUpload(input, options))
  } catch (error) {
    if (!isGoneMultipart(error)) throw error
  }
}

/** Every multipart upload below `prefix`, with the time it was begun. */
export async function* listMultiparts(
  connection: Connection,
  prefix: string,
): AsyncGenerator<Multipart & { begunAtMs: number }> {
  let after: { KeyMarker?: string; UploadIdMarker?: string } | undefined = {}
  while (after !== undefined) {
    const page: ListMultipartUploadsOutput = await pageOfMultiparts(connection, { Prefix: prefix, ...after })
    for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
      if (Key === undefined || UploadId === undefined) continue
      yield { key: Key, id: UploadId, begunAtMs: Initiated?.getTime() ?? 0 }
    }
    const { IsTruncated, NextKeyMarker, NextUploadIdMarker } = page
    const marker = NextUploadIdMarker === undefined ? {} : { UploadIdMarker: NextUploadIdMarker }
    after = IsTruncated === true && NextKeyMarker !== undefined ? { KeyMarker: NextKeyMarker, ...marker } : undefined
  }
}

function pageOfMultiparts(
  connection: Connection,
  page: { Prefix: string; KeyMarker?: string; UploadIdMarker?: string },
) {
  const input = { Bucket: connection.bucket, ...page }
  return connection.call((s3, options) => s3.listMultipartUploads(input, options))
}

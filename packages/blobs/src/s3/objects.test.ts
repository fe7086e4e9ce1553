import { randomBytes } from 'node:crypto'
import { buffer } from 'node:stream/consumers'
import { afterAll, describe, expect, it } from 'vitest'
import { type RunningObjectStore, startObjectStore } from '../../../../tools/object-store.ts'
import { createS3Objects } from './index.ts'
import { openPlace, sha256 } from './place.testing.ts'

const running = await startObjectStore()
if ('skipped' in running) console.warn(`Objects in S3 were not tested: ${running.skipped}`)

describe.skipIf('skipped' in running)('objects in a bucket of a Ceph object gateway', () => {
  const ceph = running as RunningObjectStore
  afterAll(() => ceph.stop())

  it('are found, hashed, read in part, located, listed and removed by their key', async () => {
    const place = await openPlace(ceph)
    const objects = createS3Objects({ ...place.options, downloads: 'redirect' })
    const content = randomBytes(3_000_000)
    const Key = 'corebuild/baseos/b/a.iso'
    await place.s3.putObject({ Bucket: objects.bucketName, Key, Body: content })
    expect(await objects.stat(Key)).toEqual({ sizeBytes: content.length })
    const hashed = await objects.hash(Key, new AbortController().signal)
    expect(hashed).toEqual({ sizeBytes: content.length, sha256: sha256(content).slice(7) })
    const part = await buffer(await objects.open(Key, { start: 5, end: 14 }))
    expect(part.equals(content.subarray(5, 15))).toBe(true)
    const url = await objects.locate?.(Key, { filename: 'my.iso', contentType: 'application/x-iso9660-image' })
    const answer = await fetch(url ?? '', { headers: { range: 'bytes=0-9' } })
    expect(answer.status).toBe(206)
    expect(answer.headers.get('content-disposition')).toBe('attachment; filename="my.iso"')
    expect(answer.headers.get('content-type')).toBe('application/x-iso9660-image')
    expect((await Array.fromAsync(objects.list('corebuild/'))).map(({ key }) => key)).toEqual([Key])
    await objects.remove(Key)
    await objects.remove(Key)
    expect(await objects.stat(Key)).toBeUndefined()
    await expect(objects.open(Key)).rejects.toMatchObject({ code: 'blob-unknown' })
    objects.close()
    place.close()
  })

  it('whose multipart upload was given up are swept once it is idle, and not before', async () => {
    const place = await openPlace(ceph)
    const objects = createS3Objects({ ...place.options, downloads: 'proxy' })
    expect(objects.locate).toBeUndefined()
    const input = { Bucket: objects.bucketName, Key: 'corebuild/baseos/x/a.iso' }
    await place.s3.createMultipartUpload(input)
    const open = async () =>
      (await place.s3.listMultipartUploads({ Bucket: input.Bucket, Prefix: 'corebuild/' })).Uploads?.length ?? 0
    await objects.sweep('corebuild/', 3_600_000)
    expect(await open()).toBe(1)
    await objects.sweep('corebuild/', 0)
    expect(await open()).toBe(0)
    objects.close()
    place.close()
  })

  it('are not read on after the reader has lost interest', async () => {
    const place = await openPlace(ceph)
    const objects = createS3Objects({ ...place.options, downloads: 'proxy' })
    await place.s3.putObject({ Bucket: objects.bucketName, Key: 'k', Body: randomBytes(1000) })
    await expect(objects.hash('k', AbortSignal.abort())).rejects.toMatchObject({ code: 'storage-unavailable' })
    await objects.remove('k')
    objects.close()
    place.close()
  })
})

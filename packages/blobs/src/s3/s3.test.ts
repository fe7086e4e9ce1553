import { afterAll, describe } from 'vitest'
import { type RunningObjectStore, startObjectStore } from '../../../../tools/object-store.ts'
import { blobStoreSuite } from '../suite.ts'
import { openS3Blobs, type S3BlobsOptions } from './index.ts'

const running = await startObjectStore()
if ('skipped' in running) console.warn(`Blobs in S3 were not tested: ${running.skipped}`)

describe.skipIf('skipped' in running)('on a Ceph object gateway', () => {
  const store = running as RunningObjectStore
  let places = 0
  afterAll(() => store.stop())

  blobStoreSuite('s3', async () => {
    places += 1
    const options: S3BlobsOptions = {
      endpoint: store.endpoint,
      region: 'us-east-1',
      bucket: 'suite',
      accessKey: store.accessKey,
      secretKey: () => store.secretKey,
      owner: 'suite',
      downloads: 'proxy',
      prefix: `place-${places}/`,
      partBytes: 5 * 1024 * 1024,
    }
    const opened = [await openS3Blobs(options)]
    const [first] = opened
    if (first === undefined) throw new Error('Nothing was opened.')
    return {
      store: first.store,
      async reopen() {
        const again = await openS3Blobs(options)
        opened.push(again)
        return again.store
      },
      async remove() {
        for (const { close } of opened) close()
      },
    }
  })
})

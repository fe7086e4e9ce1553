/**
 * A registry in a process of its own that pushes, deletes and collects without a pause, to be killed. Arguments:
 * directory, round, and for blobs in S3 its endpoint, access key, secret key and bucket. Prints `kept <repository> <digest>` for images it will never delete, and `freed` for each pass that
 * freed something.
 */
import { openS3Blobs } from '@freehold/blobs/s3'
import { neverAborted } from './garbage.testing.ts'
import { pushImage, startTestRegistry } from './testing.ts'

const [, , directory = '', round = '0', endpoint, accessKey = '', secretKey = '', bucket = ''] = process.argv
const address = { region: 'us-east-1', bucket, accessKey, secretKey: () => secretKey }
const s3 =
  endpoint === undefined
    ? undefined
    : await openS3Blobs({ ...address, endpoint, owner: 'tests', downloads: 'redirect' })
const registry = await startTestRegistry({ directory, ...(s3 === undefined ? {} : { wrapBlobs: () => s3.store }) })

async function push(worker: number): Promise<never> {
  const repository = `garbage/${worker % 2}`
  for (let count = 0; ; count += 1) {
    // Images of their own become garbage for certain; the shared ones may be pushed again before they are collected.
    const layer = [`kept ${round} ${worker} ${count}`, `gone ${round} ${worker} ${count}`, `shared ${count % 5}`][
      count % 3
    ]
    if (layer === undefined) continue
    const { digest } = await pushImage(registry, repository, `w${worker}`, layer).catch(() => ({ digest: null }))
    if (digest === null) continue
    if (count % 3 === 0) console.log(`kept ${repository} ${digest}`)
    else await registry.send('DELETE', `/v2/${repository}/manifests/${digest}`)
  }
}

async function collect(): Promise<never> {
  for (;;) {
    registry.clock.ms = Date.now()
    const { freedBytes } = await registry.registry.collectGarbage({ graceMs: 0, signal: neverAborted })
    if (freedBytes > 0) console.log('freed')
  }
}

await Promise.all([collect(), ...[0, 1, 2, 3].map(push)])

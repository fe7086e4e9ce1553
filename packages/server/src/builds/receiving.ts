import { type Build, type CorebuildArtifact, FreeholdError } from '@freehold/contracts'
import type { ImageBytes, S3ForWorkers } from './bytes.ts'
import { type Artifact, artifactKeyOf } from './kind.ts'
import type { Uploads, UploadTarget } from './uploads.ts'

/** More than any image has. */
export const imageBytesAtMost = 64 * 1024 ** 3

/**
 * Where an attempt's image arrives, and whether what arrived is what the worker says. From its last byte on garbage
 * collection leaves it alone, although no row names it before the worker has told its result: until `letGo`.
 */
export interface Receiving {
  /** Of the upload; not used where images go to S3. */
  target: UploadTarget
  /**
   * Compares what is stored with what the worker says, and keeps it from being removed while `keep` runs. Throws
   * `conflict` with the end of a sentence where they differ.
   */
  verify(said: CorebuildArtifact, keep: (location: Artifact['location']) => Promise<boolean>): Promise<boolean>
  /** The attempt has ended, whatever came of it: a row names the image now, or it is garbage. May be called again. */
  letGo(): void
  /** Drops whatever arrived. */
  drop(): Promise<void>
}

export function createReceiving(options: {
  build: Build
  attempt: number
  uploads: Uploads
  bytes: ImageBytes
  s3: S3ForWorkers | null
  signal: AbortSignal
}): Receiving {
  const { build, attempt, uploads, bytes, s3, signal } = options
  const { promise: ended, resolve: letGo } = Promise.withResolvers<void>()
  let held = Promise.resolve()
  const target: UploadTarget = {
    uploadId: null,
    done: null,
    sha256: null,
    limitBytes: imageBytesAtMost,
    onComplete: (sha256, finish) =>
      new Promise((resolve, reject) => {
        const untilEnd = async () => {
          await finish()
          resolve()
          await ended
        }
        held = bytes.guard.hold(`sha256:${sha256}`, untilEnd).catch(reject)
      }),
  }
  const key = artifactKeyOf(build, attempt)

  async function verifyUpload(said: CorebuildArtifact, keep: (location: Artifact['location']) => Promise<boolean>) {
    const { done } = target
    if (done === null) throw different('no whole image arrived')
    if (done.digest !== `sha256:${said.sha256}`) throw different('another one arrived')
    if (done.sizeBytes !== said.size) throw different(`it says ${said.size} bytes, ${done.sizeBytes} arrived`)
    const location = { store: 'blobs' as const, digest: done.digest }
    return bytes.guard.hold(done.digest, async () => {
      if ((await bytes.sizeOf(location)) !== said.size) throw different('what arrived is gone')
      return keep(location)
    })
  }

  async function verifyObject(
    { objects }: S3ForWorkers,
    said: CorebuildArtifact,
    keep: (location: Artifact['location']) => Promise<boolean>,
  ) {
    if (said.key !== key) throw different('it put it under another key than it was told')
    const found = await objects.stat(key)
    if (found === undefined) throw different('there is nothing under its key in the bucket')
    if (found.sizeBytes !== said.size) throw different(`it says ${said.size} bytes, the bucket has ${found.sizeBytes}`)
    const { sha256 } = await objects.hash(key, signal)
    if (sha256 !== said.sha256) throw different('what is in the bucket has another sha256')
    return keep({ store: 's3', bucketName: objects.bucketName, key })
  }

  return {
    target,
    verify: (said, keep) => (s3 === null ? verifyUpload(said, keep) : verifyObject(s3, said, keep)),
    letGo,
    async drop() {
      letGo()
      if (s3 !== null) return s3.objects.remove(key)
      await uploads.drop(target)
      await held
      if (target.done !== null) await bytes.guard.removeUnneeded(target.done.digest)
    },
  }
}

function different(how: string): FreeholdError {
  return new FreeholdError('conflict', `The worker says the image is ready, but ${how}.`)
}

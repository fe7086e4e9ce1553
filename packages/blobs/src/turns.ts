import { BlobError } from './errors.ts'
import { requireUploadId, type UploadId } from './upload-id.ts'

/** One writer at a time at each upload. */
export class Turns {
  readonly #busy = new Set<UploadId>()

  isBusy(id: UploadId): boolean {
    return this.#busy.has(id)
  }

  /** Runs `work` as the one writer. Throws `upload-unknown` for what is no upload id, `upload-busy`. */
  async take<T>(id: string, work: (uploadId: UploadId) => Promise<T>): Promise<T> {
    const uploadId = requireUploadId(id)
    if (this.#busy.has(uploadId)) {
      throw new BlobError('upload-busy', 'Another request is writing to this upload; wait until it has ended.')
    }
    this.#busy.add(uploadId)
    try {
      return await work(uploadId)
    } finally {
      this.#busy.delete(uploadId)
    }
  }
}

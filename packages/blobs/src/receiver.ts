import type { Writable } from 'node:stream'

/** Runs `work`, which writes to `target` and races each wait with `gone`: that rejects as soon as the target has closed. */
export async function whileOpen<T>(target: Writable, work: (gone: Promise<never>) => Promise<T>): Promise<T> {
  const gone = Promise.withResolvers<never>()
  const onClose = () => gone.reject(new Error('The receiver of a blob closed before it had everything.'))
  gone.promise.catch(() => {})
  target.once('close', onClose)
  try {
    if (target.destroyed) onClose()
    return await work(gone.promise)
  } finally {
    target.removeListener('close', onClose)
  }
}

/** Settles once the target has taken the bytes. */
export function written(target: Writable, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    target.write(bytes, (error) => (error ? reject(error) : resolve()))
  })
}

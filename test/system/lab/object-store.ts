import { type RunningObjectStore, startObjectStore } from '../../../tools/object-store.ts'
import { requireParts } from './parts.ts'

export type ObjectStore = RunningObjectStore

/** A real S3 store of its own, a Ceph object gateway on the loopback; where it is not installed this throws. */
export async function startLabObjectStore(): Promise<ObjectStore> {
  requireParts(['ceph', 'ceph-mon', 'ceph-osd', 'radosgw'])
  const store = await startObjectStore()
  if ('skipped' in store) throw new Error(store.skipped)
  return store
}

/**
 * The settings of a control plane on that store. It is named `localhost` and not by its number, because Docker and its
 * like would send their registry credentials along to another port of the same host, which S3 stores refuse.
 */
export function settingsOf(store: ObjectStore, options: { bucket: string; downloads: 'redirect' | 'proxy' }) {
  return {
    S3_ENDPOINT: 'localhost',
    S3_PORT: String(store.port),
    S3_USESSL: 'false',
    S3_BUCKET: options.bucket,
    S3_ACCESSKEY: store.accessKey,
    S3_SECRETKEY: store.secretKey,
    FREEHOLD_S3_DOWNLOADS: options.downloads,
  }
}
